// Two network namespaces on one wire, with a real guard in the first, for the guard's tests.
import Glibc
import Node
import Platform
import Testing

/// Nil where these tests can run; otherwise what is missing.
let namespacesMissing: String? = {
  guard isRoot() else { return "needs root" }
  let name = "sw-try-\(randomName())"
  guard ip("netns", "add", name).succeeded else { return "needs network namespaces" }
  ip("netns", "del", name)
  return nil
}()
let namespacesThere = namespacesMissing == nil

func randomName() -> String { String(UInt32.random(in: 0x10000...0xfffff), radix: 16) }

/// What a command wrote, and whether it succeeded.
struct Ran {
  var succeeded: Bool
  var output: String
}
/// Runs `ip` to its end.
@discardableResult func ip(_ words: String...) -> Ran { run("ip", words) }
@discardableResult func run(_ name: String, _ words: [String]) -> Ran {
  do {
    let result = try runCommand(findProgram(name) ?? name, words, deadline: .after(milliseconds: 60_000))
    return Ran(succeeded: result.succeeded, output: result.output)
  } catch {
    return Ran(succeeded: false, output: "\(error)")
  }
}

private func peerBinary() -> String {
  let own = ownProgramPath() ?? ""
  return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/guard-peer"
}
let repositoryFolder = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

/// What a bound of milliseconds is under a sanitizer (scripts/sanitize), where everything takes a few times as long.
func patience<Milliseconds: Numeric>(_ milliseconds: Milliseconds) -> Milliseconds {
  environmentValue("STANDWATCH_SANITIZER") == nil ? milliseconds : milliseconds * 10
}

/// What has to be soon, or often, within a time that a busy machine may take away: tried a few times, and one of them has
/// to show it. A guard that is slow by itself is slow each time.
func onceOf(_ attempts: Int, _ isShown: (_ attempt: Int) throws -> Bool) rethrows -> Bool {
  for attempt in 1...attempts { if try isShown(attempt) { return true } }
  return false
}

/// A `guard-peer` in a network namespace, whose standard input and output the test holds.
final class Talker {
  private var child: Child?
  private let toChild: Descriptor
  private let fromChild: Descriptor
  private var buffer: [UInt8] = []
  let pid: Int32

  init(_ namespace: String, _ arguments: [String], environment: [String] = []) throws {
    func pipe() throws -> (Int32, Int32) {
      var ends: [Int32] = [-1, -1]
      guard unsafe Glibc.pipe(&ends) == 0 else { throw SystemError.last("pipe") }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      return (ends[0], ends[1])
    }
    let (theirInput, ourOutput) = try pipe()
    let (ourInput, theirOutput) = try pipe()
    toChild = Descriptor(owning: ourOutput)
    fromChild = Descriptor(owning: ourInput)
    let given = Descriptor(owning: theirInput)
    let givenToo = Descriptor(owning: theirOutput)
    // Where a sanitizer writes what it finds in the peer.
    let sanitizer = processEnvironment().filter { $0.hasPrefix("TSAN_OPTIONS=") || $0.hasPrefix("ASAN_OPTIONS=") }
    let started = try Child(
      findProgram("ip") ?? "ip", ["netns", "exec", namespace, peerBinary()] + arguments,
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + sanitizer + environment,
      descriptors: [given.raw, givenToo.raw, 2])
    pid = started.pid
    child = consume started
  }
  func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(toChild.raw, bytes, bytes.count)
  }
  /// The next line that contains `text`; nil when it does not come in time or the output ends.
  func hear(_ text: String, milliseconds: Int64 = patience(30_000)) -> String? {
    let deadline = BootInstant.after(milliseconds: milliseconds)
    while true {
      while let end = buffer.firstIndex(of: 10) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer = Array(buffer[(end + 1)...])
        if line.contains(text) { return line }
      }
      guard !wait(fromChild.raw, for: .read, until: deadline).isEmpty else { return nil }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = unsafe read(fromChild.raw, &chunk, chunk.count)
      guard count > 0 else { return nil }
      buffer += chunk[..<count]
    }
  }
  func signal(_ number: Int32) { child?.signal(number) }
  /// The guard's exit status; nil when it had to be killed.
  func end(milliseconds: Int64 = patience(30_000)) -> Int32? {
    guard case .exited(let status) = child?.wait(until: .after(milliseconds: milliseconds)) else { return nil }
    return status
  }
}

/// Node "a" in the first namespace (10.9.0.1), another host in the second (10.9.0.2), `e0` each.
final class Wire {
  let here = "swg-\(randomName())a"
  let there = "swg-\(randomName())b"
  let folder: String
  private(set) var config = ""

  init() throws {
    var template = Array("/tmp/sw-guard-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for name in [here, there] { ip("netns", "add", name) }
    ip("link", "add", "e0", "netns", here, "type", "veth", "peer", "name", "e0", "netns", there)
    for (name, host) in [(here, "1"), (there, "2")] {
      ip("-n", name, "link", "set", "lo", "up")
      ip("-n", name, "addr", "add", "10.9.0.\(host)/24", "dev", "e0")
      ip("-n", name, "addr", "add", "fd00:9::\(host)/64", "dev", "e0", "nodad")
      ip("-n", name, "link", "set", "e0", "up")
    }
    try replaceFile(folder + "/beat.key", with: [UInt8](repeating: 65, count: 32), mode: 0o600)
  }
  deinit {
    for name in [here, there] { ip("netns", "del", name) }
    run("rm", ["-rf", folder])
  }

  /// Writes the configuration and starts the guard; waits until its worker can be spoken to.
  func start(
    addresses: [String] = ["10.9.0.100"], helpers: String? = nil, user: String? = nil, expectWorker: Bool = true,
    environment: [String] = []
  ) throws -> Talker {
    let list = addresses.map { "{ address: \"\($0)\", interface: \"e0\" }" }.joined(separator: ", ")
    let text = """
      { cluster: "t1", node: "a", runtimeFolder: "\(folder)/run", \(user.map { "user: \"\($0)\"," } ?? "")
        database: { connection: "host=127.0.0.1 dbname=x user=x" },
        service: { addresses: [\(list)], helpers: { \(helpers ?? "folder: \"\(repositoryFolder)/ha\"") } },
        peers: { listen: ["127.0.0.1:7401"], keyFiles: ["\(folder)/beat.key"],
                 nodes: [{ node: "b", addresses: ["127.0.0.1:7402"] }] } }
      """
    config = folder + "/node.json5"
    try replaceFile(config, with: Array(text.utf8))
    let guardian = try Talker(here, ["--config", config], environment: environment)
    if expectWorker { _ = try #require(guardian.hear("worker")) }
    return guardian
  }
  /// A script of the site's own, in this test's folder.
  func script(_ name: String, _ body: String) throws -> String {
    let path = "\(folder)/\(name)"
    try replaceFile(path, with: Array(("#!/bin/sh\n" + body + "\n").utf8), mode: 0o755)
    return path
  }
  /// The addresses of the first namespace that contain `text`, a line each.
  func addresses(_ text: String = "9.0.100") -> [String] {
    ip("-n", here, "-o", "addr", "show", "dev", "e0").output.split(separator: "\n").map(String.init)
      .filter { $0.contains(text) }
  }
  /// How long until no address contains `text`, in milliseconds; nil when it stays.
  func goneAfter(_ text: String = "9.0.100", atMost milliseconds: Int64) -> Double? {
    let start = BootInstant.now()
    while BootInstant.now() < start.adding(milliseconds: patience(milliseconds)) {
      if addresses(text).isEmpty { return BootInstant.now().milliseconds(since: start) }
    }
    return nil
  }
  /// Until there is a file.
  func awaitFile(_ path: String) -> Bool {
    let deadline = BootInstant.after(milliseconds: patience(30_000))
    while unsafe access(path, F_OK) != 0 {
      guard BootInstant.now() < deadline else { return false }
      wait(milliseconds: 10)
    }
    return true
  }
  /// Says when the first namespace's kernel loses an address; it watches already.
  func monitor(_ address: String = "10.9.0.100") throws -> Talker {
    let monitor = try Talker(here, ["--address-gone", address, "30000"])
    _ = try #require(monitor.hear("watching"))
    return monitor
  }
  func wait(milliseconds: Int64) { sleep(until: .after(milliseconds: milliseconds)) }
}

/// The process number in "worker 123 user ...".
func workerProcess(_ line: String?) -> Int32? { line.flatMap { Int32($0.split(separator: " ")[1]) } }
