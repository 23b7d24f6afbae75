// The journal, read through a `journalctl` of its own that is started again whenever it ends.
//
// libsystemd would save the process, but its reader maps the journal's files into ours, and a damaged file would take the
// agent with it; `journalctl` may crash.
internal import Platform
internal import Telemetry

/// Owned by the thread "collect", which has to live as long as the process.
final class JournalFollower {
  private let settings: JournalSettings
  private let host: String
  private let program: String?
  private var output: ChildOutput?
  private var bytes: [UInt8] = []
  private var used = 0
  private var isSkipping = false
  /// Of the last entry that was given out.
  private var cursor: String?
  private var realtime: Int64 = 0
  /// Entries up to here are known already, and passed over.
  private var knownUntil: Int64 = -1
  private var isFirstEntry = false
  private var startDue = BootInstant(nanoseconds: 0)
  private var failures = 0
  private(set) var starts = 0
  private(set) var unreadable = 0
  /// Looked for now and then: journalctl says nothing of what it may not read.
  private(set) var troubles: [FollowTrouble] = []
  private var lookDue = BootInstant(nanoseconds: 0)
  static let lookMilliseconds: Int64 = 60_000

  static let key = "journal"
  static let greatestLine = 256 << 10
  static let greatestPauseMilliseconds: Int64 = 60_000

  var descriptor: Int32? {
    // What has been read already is not announced again.
    switch output {
    case .some(let output): output.descriptor
    case nil: nil
    }
  }
  /// The child, while there is one.
  var pid: Int32? {
    switch output {
    case .some(let output): output.pid
    case nil: nil
    }
  }

  init(_ settings: JournalSettings, host: String, positions: [String: [UInt8]]) {
    (self.settings, self.host) = (settings, host)
    program = settings.program ?? findProgram("journalctl")
    guard let saved = positions[Self.key] else { return }
    let parts = saved.split(separator: 0x0a, maxSplits: 1)
    guard parts.count == 2, let time = Int64(String(decoding: parts[0], as: UTF8.self)), time >= 0 else { return }
    (realtime, cursor) = (time, String(decoding: parts[1], as: UTF8.self))
  }

  /// Adds entries until the batch is full.
  func follow(at now: SampleTime, into batch: inout FollowBatch) {
    if now.boot >= lookDue {
      lookDue = now.boot.adding(milliseconds: Self.lookMilliseconds)
      troubles = journalTroubles(settings)
    }
    guard let program else { return }
    if output == nil {
      guard now.boot >= startDue else { return }
      start(program, now.boot)
    }
    let before = cursor
    // A few pieces a turn; the pipe keeps the rest.
    for _ in 0..<16 {
      takeLines(now, &batch)
      if batch.isFull { break }
      let piece = output?.read(into: &bytes, limit: 64 << 10) ?? .nothing
      if piece == .nothing { break }
      if piece == .end {
        ended(now.boot)
        break
      }
    }
    if let cursor, cursor != before { batch.positions[Self.key] = Array("\(realtime)\n\(cursor)".utf8) }
  }

  private func arguments() -> [String] {
    var arguments = [
      "--follow", "--all", "--quiet", "--no-pager", "--output=json",
      "--output-fields=" + JournalEntry.fields.joined(separator: ","), "--priority=\(settings.severity)",
    ]
    if let folder = settings.folder { arguments.append("--directory=" + folder) }
    for unit in settings.units { arguments.append("--unit=" + unit) }
    knownUntil = -1
    isFirstEntry = false
    if let cursor {
      if failures >= 3 {
        // The journal may have thrown the entry away that the cursor names: then the time has to do.
        knownUntil = realtime
        arguments += ["--since=@\(realtime / 1_000_000)", "--no-tail"]
      } else {
        arguments += ["--after-cursor=" + cursor, "--no-tail"]
      }
    } else if settings.readsFromBeginning {
      arguments.append("--no-tail")
    } else {
      // The last entry there is marks where reading begins, also over a restart.
      isFirstEntry = true
      arguments.append("--lines=1")
    }
    return arguments
  }

  private func start(_ program: String, _ now: BootInstant) {
    starts += 1
    (bytes, used, isSkipping) = ([], 0, false)
    do throws(SystemError) {
      output = try ChildOutput(program, arguments())
    } catch {
      pause(now, reason: "\(error)")
    }
  }
  private func ended(_ now: BootInstant) {
    let status = output?.end() ?? -1
    output = nil
    pause(now, reason: "status \(status)")
  }
  private func pause(_ now: BootInstant, reason: String) {
    failures += 1
    let pause = min(Self.greatestPauseMilliseconds, 1000 << Int64(min(failures - 1, 10)))
    startDue = now.adding(milliseconds: pause)
    log(.warning, "journalctl ended", ["reason": reason, "again_in_ms": "\(pause)"])
  }

  private func takeLines(_ now: SampleTime, _ batch: inout FollowBatch) {
    while !batch.isFull {
      guard let newline = bytes[used...].firstIndex(of: 0x0a) else { break }
      let line = bytes[used..<newline]
      used = newline + 1
      if isSkipping {
        isSkipping = false
        continue
      }
      take(line, now, &batch)
    }
    if batch.isFull && bytes.count - used < Self.greatestLine { return }
    bytes.removeFirst(used)
    used = 0
    if bytes.count > Self.greatestLine, !bytes.contains(0x0a) {
      if !isSkipping { refuse("an entry of the journal is longer than \(Self.greatestLine) bytes") }
      isSkipping = true
      bytes = []
    }
  }
  private func refuse(_ sentence: String) {
    unreadable += 1
    if unreadable & (unreadable - 1) == 0 { log(.warning, sentence, ["count": "\(unreadable)"]) }
  }

  private func take(_ line: ArraySlice<UInt8>, _ now: SampleTime, _ batch: inout FollowBatch) {
    guard let entry = JournalEntry(line) else {
      if !line.isEmpty { refuse("a line of journalctl is no entry") }
      return
    }
    failures = 0
    let isMark = isFirstEntry && entry.realtime < now.time + microsecondsFrom1970To2000 - 2_000_000
    isFirstEntry = false
    (cursor, realtime) = (entry.cursor, entry.realtime)
    if isMark || entry.realtime <= knownUntil { return }
    var message = Record.Log(severity: entry.severity, message: entry.message)
    message.attributes = entry.attributes.isEmpty ? nil : entry.attributes
    batch.records.append(
      Record(time: entry.realtime - microsecondsFrom1970To2000, host: host, app: entry.app, .log(message)))
    batch.bytes += line.count
  }
}
