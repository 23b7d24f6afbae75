// Two network namespaces on one wire, with a real guard in the first, for the guard's tests.
import Platform
import Testing

/// Nil where these tests can run; otherwise what is missing.
let namespacesMissing: String? = {
  guard isRoot() else { return "needs root" }
  let name = "sw-try-\(ownIdentity())"
  guard command("ip", "netns", "add", name).status == 0 else { return "needs network namespaces" }
  command("ip", "netns", "del", name)
  return nil
}()

private func ownIdentity() -> String {
  randomBytes(3).map { String(UInt16($0) + 256, radix: 16).suffix(2) }.joined()
}

/// Runs a command to its end, at most 20 s; standard output only.
@discardableResult func command(_ words: String...) -> (status: Int32, output: String) { command(words) }
@discardableResult func command(_ words: [String]) -> (status: Int32, output: String) {
  let file = "/tmp/sw-guard-test-\(ownIdentity())"
  defer { removeFile(file) }
  let line = words.map { "'" + $0 + "'" }.joined(separator: " ")
  do {
    var child = try Child(
      "/bin/sh", ["-c", "exec \(line) > \(file) 2>/dev/null < /dev/null"],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [])
    guard case .exited(let status) = child.wait(until: .after(milliseconds: 20_000)) else { return (-1, "") }
    return (status, String(decoding: try readFile(file), as: UTF8.self))
  } catch {
    return (-1, "\(error)")
  }
}
private func removeFile(_ path: String) {
  // A file that is not there is as good as removed.
  _ = try? Child("/bin/rm", ["-rf", path], environment: [], descriptors: []).waited()
}
extension Child {
  consuming func waited() -> Int32 {
    var child = self
    return child.reap()
  }
}

/// The folder of this test's own binary, where `guard-peer` is too.
private let binaries: String = {
  let own = command("readlink", "/proc/\(ownProcess())/exe").output.dropLast()
  return String(own[..<(own.lastIndex(of: "/") ?? own.endIndex)])
}()
private func ownProcess() -> Int32 { Int32(command("sh", "-c", "echo $PPID").output.dropLast()) ?? 0 }

private let repository = String(#filePath.split(separator: "/").dropLast(3).joined(separator: "/"))

/// A program whose standard input and output the test holds.
final class Talker {
  private var child: Child?
  private let toChild: Descriptor
  private let fromChild: Descriptor
  private var buffer: [UInt8] = []
  let pid: Int32

  init(_ namespace: String, _ arguments: [String]) throws {
    let input = try openPipe()
    let output = try openPipe()
    toChild = Descriptor(owning: input.write)
    fromChild = Descriptor(owning: output.read)
    let given = (Descriptor(owning: input.read), Descriptor(owning: output.write))
    let started = try Child(
      "/bin/ip", ["netns", "exec", namespace, binaries + "/guard-peer"] + arguments,
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [given.0.raw, given.1.raw, 2])
    pid = started.pid
    child = consume started
  }
  func say(_ line: String) { _ = writeAll(toChild.raw, line + "\n") }
  /// The next line that contains `text`; nil when it does not come in time or the output ends.
  func hear(_ text: String, milliseconds: Int64 = 3_000) -> String? {
    let deadline = BootInstant.after(milliseconds: milliseconds)
    while true {
      while let end = buffer.firstIndex(of: 10) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer = Array(buffer[(end + 1)...])
        if line.contains(text) { return line }
      }
      guard !wait(fromChild.raw, for: .read, until: deadline).isEmpty else { return nil }
      guard let more = readAvailable(fromChild.raw), !more.isEmpty else { return nil }
      buffer += more
    }
  }
  func signal(_ number: Int32) { child?.signal(number) }
  func end(milliseconds: Int64 = 8_000) -> ChildEnd? { child?.wait(until: .after(milliseconds: milliseconds)) }
}
