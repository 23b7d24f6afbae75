// What the tests of followers share: a folder of their own, a clock they move, and a spool that takes or refuses.
@testable import Agent
import Glibc
import Platform
import Telemetry
import Testing

/// µs since 2000 of 2026-11-20T09:00:00Z.
let nine: Int64 = 848_480_400_000_000

struct Folder: ~Copyable {
  let path: String
  init() throws {
    path = "/tmp/sw-follow-\(randomBytes(8).map { String($0, radix: 16) }.joined())"
    _ = try runCommand("/bin/mkdir", [path], deadline: .after(milliseconds: 60_000))
  }
  deinit { _ = try? runCommand("/bin/rm", ["-r", path], deadline: .after(milliseconds: 60_000)) }  // a folder in /tmp

  /// Appends as a program that writes a log does.
  func append(_ name: String, _ text: String) throws { try append(name, Array(text.utf8)) }
  func append(_ name: String, _ bytes: [UInt8]) throws {
    let raw = unsafe open("\(path)/\(name)", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    try #require(raw >= 0)
    let file = Descriptor(owning: raw)
    // A file takes all at once.
    let count = unsafe write(file.raw, bytes, bytes.count)
    try #require(count == bytes.count)
  }
  /// Over what is there, from its beginning, without a new inode.
  func overwrite(_ name: String, _ text: String) throws {
    try run("truncate", ["-s", "0", "\(path)/\(name)"])
    try append(name, text)
  }
  func move(_ from: String, _ to: String) throws { try run("mv", ["\(path)/\(from)", "\(path)/\(to)"]) }
  func delete(_ name: String) throws { try run("rm", ["\(path)/\(name)"]) }
  func run(_ program: String, _ arguments: [String]) throws {
    let found = try #require(findProgram(program))
    let result = try runCommand(found, arguments, deadline: .after(milliseconds: 60_000))
    try #require(result.succeeded, "\(program): \(result.output)")
  }
}

/// Followers, the records that were taken, and the positions beside them.
struct Following: ~Copyable {
  private let settings: FollowSettings
  private var followers: Followers
  private(set) var records: [Record] = []
  private(set) var positions: [String: [UInt8]] = [:]
  private var clock = BootInstant.now()

  init(_ settings: FollowSettings) {
    self.settings = settings
    followers = Followers(settings, host: "h", positions: [:])
  }
  init(_ source: FollowSource) { self.init(FollowSettings(files: [source], journal: nil)) }

  /// One turn some time later. A batch that is refused is as if the agent died before the spool took it.
  mutating func turn(milliseconds: Int64 = 300, refused: Bool = false) {
    clock = clock.adding(milliseconds: milliseconds)
    var batch = FollowBatch()
    followers.follow(at: SampleTime(boot: clock, time: nine), into: &batch)
    if refused {
      restart()
      return
    }
    records += batch.records
    for (key, value) in batch.positions { positions[key] = value.isEmpty ? nil : value }
  }
  /// Enough turns for names that changed to be seen, and for everything to be read.
  mutating func settle(_ turns: Int = 6) { for _ in 0..<turns { turn() } }
  mutating func restart() { followers = Followers(settings, host: "h", positions: positions) }
  mutating func forget() { records = [] }

  var messages: [String] {
    records.compactMap { if case .log(let log) = $0.body { log.message } else { nil } }
  }
  var logs: [Record.Log] { records.compactMap { if case .log(let log) = $0.body { log } else { nil } } }
}

func text(_ attributes: JSONObject?) -> String { attributes.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "" }
