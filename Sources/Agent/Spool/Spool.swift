// The spool as the agent's threads share it: who takes records, who sends them, and the thread that makes them durable.
internal import Platform
internal import Telemetry

/// Several threads append, one sends. What `append` took is in the file at once (a kill of the agent loses nothing) and
/// on disk after `syncMilliseconds` at the latest (a power failure loses what is younger).
final class Spool: Sendable {
  /// What the threads that wait are told.
  enum Note: Sendable { case durable, stop }
  private struct State: ~Copyable {
    var core: SpoolCore
    /// Somebody waits for what was written to be on disk.
    var isUrgent = false
    var isStopping = false
  }
  private let state: Guarded<State>
  private let syncMilliseconds: Int64
  private let work: Mailbox<Note>
  /// Told whenever more is durable.
  private let listeners: [Mailbox<Note>]
  private let lock: Descriptor
  private let folder: String

  /// Nil when another agent has the folder.
  static func open(_ settings: AgentSettings.SpoolSettings, listeners: [Mailbox<Note>]) throws(SystemError) -> Spool? {
    try makeFolder(settings.folder, mode: 0o700)
    guard let lock = try lockFile(settings.folder + "/lock") else { return nil }
    return try Spool(settings, lock, listeners)
  }
  private init(
    _ settings: AgentSettings.SpoolSettings, _ lock: consuming Descriptor, _ listeners: [Mailbox<Note>]
  ) throws(SystemError) {
    self.lock = lock
    self.listeners = listeners
    folder = settings.folder
    syncMilliseconds = settings.syncMilliseconds
    work = try Mailbox(capacity: 16)
    let core = try SpoolCore(folder: settings.folder, limit: settings.bytes, now: wallMicroseconds())
    state = Guarded(State(core: core))
  }

  /// The last value of every note.
  var notes: [String: [UInt8]] { state.withLock { $0.core.notes } }

  /// Takes records, and notes with them; all or nothing, but for what exceeds 4 MiB: then the notes go with the last.
  func append(_ records: [Record], notes: [String: [UInt8]] = [:], worth: Worth) -> Appended {
    var lines: [UInt8] = []
    var count = 0
    for record in records {
      let start = lines.count
      record.appendLine(to: &lines)
      if lines.count - start > Spool.longestLine { Spool.shorten(record, start, &lines) }
      count += 1
    }
    return append(lines: lines, count: count, notes: notes, worth: worth)
  }
  /// A node takes lines of 65,536 bytes with their seq.
  static let longestLine = 65_000

  /// A log that is too long keeps its beginning; what else is so long is left to the node to refuse.
  private static func shorten(_ record: Record, _ start: Int, _ lines: inout [UInt8]) {
    guard case .log(let log) = record.body else { return }
    lines.removeSubrange(start...)
    var short = Record.Log(
      severity: log.severity, message: String(decoding: log.message.utf8.prefix(8000), as: UTF8.self))
    (short.trace, short.span) = (log.trace, log.span)
    var attributes = JSONObject()
    attributes.add("cut_from_bytes", Int64(log.message.utf8.count))
    short.attributes = attributes
    Record(time: record.time, host: record.host, app: record.app, .log(short)).appendLine(to: &lines)
  }

  /// As above, for lines that are ready, each with its newline and without a seq.
  func append(lines: [UInt8], count: Int, notes: [String: [UInt8]] = [:], worth: Worth) -> Appended {
    let now = wallMicroseconds()
    let outcome: Appended = state.withLock { state in
      guard lines.count > Spool.greatestPiece else {
        return state.core.append(lines: lines, count: count, notes: notes, worth: worth, now: now)
      }
      var outcome = Appended.full(reason: "")
      var start = 0
      while start < lines.count {
        let (end, taken) = Spool.piece(lines, from: start)
        let isLast = end == lines.count
        outcome = state.core.append(
          lines: Array(lines[start..<end]), count: taken, notes: isLast ? notes : [:], worth: worth, now: now)
        guard case .taken = outcome else { return outcome }
        start = end
      }
      return outcome
    }
    if case .taken = outcome { work.post(.durable) }
    return outcome
  }
  private static let greatestPiece = 3 << 20
  /// Whole lines from `start` on that fit a frame.
  private static func piece(_ lines: [UInt8], from start: Int) -> (end: Int, count: Int) {
    var end = start
    var count = 0
    while end < lines.count, let newline = lines[end...].firstIndex(of: 0x0a) {
      if newline + 1 - start > greatestPiece && count > 0 { break }
      end = newline + 1
      count += 1
    }
    return (end, count)
  }

  /// Whether everything up to the mark is on disk; when not, it will be soon, and the listeners are told.
  func isDurable(_ mark: SpoolMark) -> Bool {
    let isDurable = state.withLock { state in
      if state.core.durable < mark { state.isUrgent = true }
      return state.core.durable >= mark
    }
    if !isDurable { work.post(.durable) }
    return isDurable
  }

  // MARK: the sender's side

  func with<Answer>(_ body: (inout SpoolCore) -> Answer) -> Answer { state.withLock { body(&$0.core) } }

  // MARK: the thread "sync"

  /// Makes durable what is written, until `stop`; then once more.
  func runSync() {
    while true {
      _ = wait(work.descriptor, for: .read, until: nil)
      _ = work.takeAll()
      let (isUrgent, isStopping) = state.withLock { ($0.isUrgent, $0.isStopping) }
      if !isUrgent && !isStopping { gather() }
      // Asked anew, as the note about it may be among those that were gathered; and before the sync, which has to have
      // everything that was written until then.
      let isLast = state.withLock { $0.isStopping }
      sync()
      if isLast { return }
    }
  }
  /// Lets more come before the disk is asked, unless somebody waits.
  private func gather() {
    let deadline = BootInstant.after(milliseconds: syncMilliseconds)
    while deadline.nanosecondsLeft() > 0 {
      if wait(work.descriptor, for: .read, until: deadline).isEmpty { return }
      _ = work.takeAll()
      if state.withLock({ $0.isUrgent || $0.isStopping }) { return }
    }
  }
  private func sync() {
    let (files, index) = state.withLock { state -> ([DataFile], SpoolIndex?) in
      state.isUrgent = false
      return state.core.unsynced.isEmpty ? ([], nil) : (state.core.unsynced, state.core.nextIndex())
    }
    guard let index else { return }
    do throws(SystemError) {
      for file in files { try file.sync() }
      writeIndex(index)
      state.withLock { state in
        // The growing file stays in the list when it was written to meanwhile.
        state.core.synced(files, through: index.mark)
      }
    } catch {
      log(.error, "the spool's disk failed", ["reason": error.description])
      state.withLock { state in
        state.core.counts.syncFailures += 1
        do throws(SystemError) {
          try state.core.rewriteUnsynced()
        } catch {
          // Nothing is sent or acknowledged beyond what is durable; the next write brings us here again.
          state.core.failure = error.description
        }
      }
    }
    for listener in listeners { listener.post(.durable) }
  }
  /// Without it nothing is lost as long as the segments are sound: a full disk must not keep them from being sent.
  private func writeIndex(_ index: SpoolIndex) {
    do throws(SystemError) {
      try index.write(folder)
    } catch {
      log(.warning, "the spool's index can't be written", ["reason": error.description])
    }
  }
  func stop() {
    state.withLock { $0.isStopping = true }
    work.post(.stop)
  }
}
