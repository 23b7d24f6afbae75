// The corpora of the fuzzer, once more without it: what was found stays found.
import Configuration
import FoundationEssentials
import Testing

/// The inputs of a decoder: a line of base64 for each.
private func corpus(_ name: String) throws -> [[UInt8]] {
  let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  let text = try String(contentsOf: folder.appending(path: "Corpora/\(name).base64"), encoding: .utf8)
  return try text.split(separator: "\n").map { line in [UInt8](try #require(Data(base64Encoded: String(line)))) }
}

@Test(arguments: FuzzedDecoders.all.map(\.name))
func `every input of the corpus keeps what is said of its decoder`(name: String) throws {
  let decoder = try #require(FuzzedDecoders.all.first { $0.name == name })
  let inputs = try corpus(name)
  #expect(!inputs.isEmpty)
  for input in inputs {
    do throws(Broken) { try decoder.check(input) } catch {
      Issue.record("\(printable(input)): \(error)")
    }
  }
}
@Test func `a configuration that is no UTF-8 is an error that says so`() {
  #expect(
    throws: ConfigurationError(
      file: "f", key: "", problem: "is not UTF-8", mend: "Save it as UTF-8; e shows one that works")
  ) { try ConfigurationValue.parse([0x7b, 0xff, 0x3a, 0x31, 0x7d], file: "f", example: "e") }
}
@Test func `the oracles can be false`() {
  var json = JSONB(Array(#"{"a":"\u0000"}"#.utf8))
  #expect(throws: Broken.self) { try json.check("a zero character") }
  var large = JSONB(Array(#"{"a":1e131072}"#.utf8))
  #expect(throws: Broken.self) { try large.check("a number that numeric has no room for") }
  #expect(throws: Broken.self) {
    try howeverCut(Array("abc".utf8), each: 1) { pieces throws(Broken) in pieces.count }
  }
}
