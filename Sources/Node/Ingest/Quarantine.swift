// What is refused because a worker crashed twice with it in hand, and what is handled with care because it did once.
internal import Platform
internal import TLS

/// Who sent something: what is counted by at crashes.
struct Sender: Hashable, Sendable {
  /// `native`, `syslog`, a wire's name, a route's kind, or `scrape`.
  var protocolName: String
  /// As it named itself, else its address.
  var source: String

  /// For `holdInHand`.
  func inHand(address: String) -> [UInt8] {
    Array("\(protocolName)\0\(source.prefix(200))\0\(address)".utf8)
  }
}

/// What a crash's evidence says.
struct Crash: Equatable, Sendable {
  var sender: Sender
  var address: String
  var record: CrashRecord

  /// Nil when it is not of our form.
  init?(_ record: CrashRecord) {
    let parts = record.name.split(separator: 0, omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    let words = parts.map { String(decoding: $0, as: UTF8.self) }
    (sender, address, self.record) = (Sender(protocolName: words[0], source: words[1]), words[2], record)
  }
}

/// A snapshot of `ingest.quarantined()`, with the crashes of this node that are not written there yet.
struct Quarantine: Equatable, Sendable {
  enum Verdict: Equatable, Sendable {
    case free
    /// It was in hand at a crash: one record at a time, so that the next crash would show which.
    case isolated
    /// The same, and the other node may just have crashed of it, and not said so yet.
    case wait
    case refused(id: Int64)
  }
  private var sources: [Sender: Int64] = [:]
  private var addresses: [String: Int64] = [:]
  private var digests: [Sender: [[UInt8]: Int64]] = [:]
  private var suspects: Set<Sender> = []

  var isEmpty: Bool { sources.isEmpty && addresses.isEmpty && digests.isEmpty && suspects.isEmpty }
  /// Items that are refused.
  var count: Int { sources.count + addresses.count + digests.values.reduce(0) { $0 + $1.count } }

  mutating func add(id: Int64, scope: String, _ sender: Sender, address: String, digest: [UInt8]) {
    switch scope {
    case "source": sources[sender] = id
    case "address": addresses[address] = id
    case "bytes": digests[sender, default: [:]][digest] = id
    default: suspects.insert(sender)
    }
  }
  mutating func suspect(_ sender: Sender) { suspects.insert(sender) }

  /// `isYoung`: the node has only just become active.
  func verdict(_ sender: Sender, address: String, isYoung: Bool) -> Verdict {
    if isEmpty { return .free }
    if let id = addresses[address] ?? sources[sender] { return .refused(id: id) }
    if digests[sender] != nil { return .isolated }
    return suspects.contains(sender) ? isYoung ? .wait : .isolated : .free
  }
  /// The item that these very bytes are.
  func item(_ sender: Sender, _ bytes: [UInt8]) -> Int64? {
    guard let known = digests[sender] else { return nil }
    return known[sha256(bytes)]
  }

  static func reason(_ id: Int64) -> String {
    "quarantined (\(id)): a worker crashed twice with this in hand; hactl quarantine says more"
  }
  static let waitReason = "a worker crashed with this in hand: try again in a few seconds"
  /// As long as the other node needs to start again and say of what it crashed.
  static let youngMilliseconds: Int64 = 3000
}

/// Shared by the threads that take records; written by the thread "upkeep".
final class QuarantineBoard: Sendable {
  private struct State {
    var quarantine = Quarantine()
    var activeSince = BootInstant(nanoseconds: 0)
  }
  private let state = Guarded(State())

  var quarantine: Quarantine { state.withLock { $0.quarantine } }
  func set(_ quarantine: Quarantine) { state.withLock { $0.quarantine = quarantine } }
  func activated() { state.withLock { $0.activeSince = .now() } }
  func verdict(_ sender: Sender, address: String) -> Quarantine.Verdict {
    state.withLock { state in
      if state.quarantine.isEmpty { return .free }
      let isYoung = BootInstant.now() < state.activeSince.adding(milliseconds: Quarantine.youngMilliseconds)
      return state.quarantine.verdict(sender, address: address, isYoung: isYoung)
    }
  }
}
