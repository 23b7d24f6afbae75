// Lines of one source to records: what they say in the format that the configuration names.
internal import Platform
internal import Telemetry

/// Owned by the thread "collect".
final class LineReader {
  private let settings: FollowSource
  private let host: String
  private var format: AccessLogFormat?
  private var zone: Int
  private var zoneAt: Int64 = .min
  /// Lines that were no line of the access log's template; they are kept as log records.
  private(set) var unparsed = 0
  private var toldUnparsed = 0

  /// Records with times further back, or further ahead, get the time at which they were read: nodes refuse such.
  static let pastMicroseconds: Int64 = 6 * 86_400_000_000
  static let aheadMicroseconds: Int64 = 600_000_000

  init(_ settings: FollowSource, host: String) {
    self.settings = settings
    self.host = settings.host ?? host
    if case .access(let format) = settings.format { self.format = format }
    if case .fixed(let seconds) = settings.zone { zone = seconds } else { zone = 0 }
  }

  func record(_ lines: JoinedLines, path: String, now: Int64) -> Record {
    let bytes = lines.bytes[...]
    switch settings.format {
    case .access:
      // Any fault: the line is kept as it is.
      if let format, !lines.isCut, let entry = try? format.parse(bytes, now: now) {
        return Record(time: checked(entry.time, now) ?? now, host: host, app: settings.app, .web(entry.web))
      }
      unparsed += 1
      // At the first one, then at each tenfold.
      if unparsed >= max(1, toldUnparsed * 10) {
        toldUnparsed = unparsed
        log(
          .warning, "lines are not of the access log's format, and are kept as logs",
          ["file": path, "lines": "\(unparsed)"])
      }
      return logged(LogLine(message: logText(bytes)), lines, path, now, isUnparsed: true)
    case .json:
      let line = LogLine(json: bytes, zone: zone(now), now: now) ?? LogLine(text: bytes, zone: zone(now), now: now)
      return logged(line, lines, path, now)
    case .text: return logged(LogLine(text: bytes, zone: zone(now), now: now), lines, path, now)
    case .plain: return logged(LogLine(message: logText(bytes)), lines, path, now)
    }
  }

  private func logged(
    _ line: LogLine, _ lines: JoinedLines, _ path: String, _ now: Int64, isUnparsed: Bool = false
  ) -> Record {
    var record = Record.Log(severity: line.severity ?? settings.severity, message: line.message)
    (record.trace, record.span) = (line.trace, line.span)
    var attributes = line.attributes
    attributes.add("file", path)
    if lines.isCut { attributes.add("cut", true) }
    if lines.lines > 1 { attributes.add("lines", Int64(lines.lines)) }
    if isUnparsed { attributes.add("unparsed", true) }
    let time = checked(line.time, now)
    if time == nil, line.time != nil { attributes.add("time_refused", true) }
    record.attributes = attributes
    return Record(time: time ?? now, host: host, app: settings.app, .log(record))
  }
  private func checked(_ time: Int64?, _ now: Int64) -> Int64? {
    guard let time, time > now - Self.pastMicroseconds, time < now + Self.aheadMicroseconds else { return nil }
    return time
  }
  /// Of this host, asked for once an hour: it changes with the seasons.
  private func zone(_ now: Int64) -> Int {
    guard settings.zone == .local else { return zone }
    if zoneAt == .min || abs(now - zoneAt) > 3_600_000_000 {
      zone = localOffsetSeconds(at: (now + microsecondsFrom1970To2000) / 1_000_000)
      zoneAt = now
    }
    return zone
  }
}
