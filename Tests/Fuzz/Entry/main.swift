// The fuzzer: libFuzzer (llvm.org/docs/LibFuzzer.html) around one decoder. Built by `scripts/fuzz` alone.
//
//   standwatch-fuzz --list                  names of the decoders, and the longest input of each
//   standwatch-fuzz --words DECODER         a dictionary for libFuzzer's -dict
//   standwatch-fuzz DECODER [OPTION...]     libFuzzer's own options and folders of inputs
import Glibc

let arguments = CommandLine.arguments
// libFuzzer starts itself anew to merge corpora, and knows nothing of the first argument.
if let name = unsafe getenv("STANDWATCH_FUZZER_DECODER").map({ unsafe String(cString: $0) }),
  let decoder = FuzzedDecoders.all.first(where: { $0.name == name })
{
  exit(Fuzzer.run(decoder, arguments))
}
switch arguments.dropFirst().first {
case "--list": for decoder in FuzzedDecoders.all { print(decoder.name, decoder.longest) }
case "--words":
  let decoder = FuzzedDecoders.all.first { $0.name == arguments.last }
  for word in decoder?.words ?? [] {
    print("\"" + word.utf8.map { "\\x" + String(UInt($0) + 0x100, radix: 16).dropFirst() }.joined() + "\"")
  }
case let name?:
  guard let decoder = FuzzedDecoders.all.first(where: { $0.name == name }) else {
    print("standwatch-fuzz: no decoder \"\(name)\"; see --list")
    exit(2)
  }
  exit(Fuzzer.run(decoder, [arguments[0]] + arguments.dropFirst(2)))
case nil:
  print("usage: standwatch-fuzz --list | --words DECODER | DECODER [OPTION...]")
  exit(2)
}
