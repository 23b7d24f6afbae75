// A system's command run to its end, with its output.
internal import CLinux
internal import Glibc

/// What a command wrote (standard output and error together, at most 1 MiB) and how it ended.
public struct CommandResult: Equatable, Sendable {
  public var end: ChildEnd
  public var output: String
  public var succeeded: Bool { end == .exited(0) }
}

/// The path of a program in the usual folders; nil when it is not installed. The environment's PATH plays no part.
public func findProgram(_ name: String) -> String? {
  ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"].map { $0 + name }.first(where: isExecutable)
}

/// Runs a program with `input` (at most 60,000 bytes) on its standard input, and kills it at the deadline.
public func runCommand(
  _ path: String, _ arguments: [String], input: String = "", deadline: BootInstant
) throws(SystemError) -> CommandResult {
  precondition(input.utf8.count <= 60_000, "more than a pipe holds")
  let incoming = try openPipe()
  let outgoing = try openPipe()
  let inputReader = Descriptor(owning: incoming.read)
  let inputWriter = Descriptor(owning: incoming.write)
  let outputReader = Descriptor(owning: outgoing.read)
  let outputWriter = Descriptor(owning: outgoing.write)
  let bytes = Array(input.utf8)
  // Sound: the array is alive during the call; a pipe takes 64 KiB at once.
  _ = unsafe write(inputWriter.raw, bytes, bytes.count)
  drop(inputWriter)
  var child = try Child(
    path, arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"],
    descriptors: [inputReader.raw, outputWriter.raw, outputWriter.raw])
  drop(outputWriter)
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 16 << 10)
  while !wait(outputReader.raw, for: .read, until: deadline).isEmpty {
    let count = unsafe read(outputReader.raw, &chunk, chunk.count)
    if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
    guard count > 0 else { break }
    if output.count < 1 << 20 { output.append(contentsOf: chunk[..<count]) }
  }
  return CommandResult(end: child.wait(until: deadline), output: String(decoding: output, as: UTF8.self))
}

private func drop(_ descriptor: consuming Descriptor) {}

/// The caller owns both ends.
private func openPipe() throws(SystemError) -> (read: Int32, write: Int32) {
  var ends: [Int32] = [-1, -1]
  guard unsafe sw_pipe(&ends) == 0 else { throw .last("pipe") }
  return (ends[0], ends[1])
}
