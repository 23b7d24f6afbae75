// One line an event on standard error: key=value, for grep and for journald.
internal import Glibc

/// Severity, with the prefix that journald understands (`sd-daemon(3)`).
public enum LogLevel: Int, Sendable { case error = 3, warning = 4, notice = 5, info = 6, debug = 7 }

private struct LogState {
  var threshold = LogLevel.info
  var identity = ""
  var journald = unsafe getenv("JOURNAL_STREAM") != nil
}
private let logState = Guarded(LogState())

/// Sets the lowest severity that is written and the words before every line (`cluster=... node=...`).
public func configureLog(threshold: LogLevel, identity: String) {
  logState.withLock {
    $0.threshold = threshold
    $0.identity = identity
  }
}

/// As below, for fields that are put together at run time.
public func log(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
  write(level, message, fields)
}

/// Writes one line. Values with spaces, quotes or control bytes are quoted and escaped, so one event is one line.
public func log(_ level: LogLevel, _ message: String, _ fields: KeyValuePairs<String, String> = [:]) {
  write(level, message, fields.map { ($0.key, $0.value) })
}

private func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
  let (threshold, identity, journald) = logState.withLock { ($0.threshold, $0.identity, $0.journald) }
  guard level.rawValue <= threshold.rawValue else { return }
  var line = journald ? "<\(level.rawValue)>" : rfc3339(wallMicroseconds: wallMicroseconds()) + " "
  line += "level=\(level) " + identity + (identity.isEmpty ? "" : " ") + "msg=" + quoted(message)
  for (key, value) in fields { line += " \(key)=" + quoted(value) }
  line += "\n"
  var bytes = Array(line.utf8)
  // One write: lines of different threads do not mix. A full pipe loses the line, never the daemon.
  unsafe bytes.withUnsafeBytes { _ = unsafe Glibc.write(2, $0.baseAddress, $0.count) }
  bytes = []
}

func quoted(_ value: String) -> String {
  let plain = value.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=") && $0 != 0x7f }
  if plain && !value.isEmpty { return value }
  var out = "\""
  for scalar in value.unicodeScalars {
    switch scalar {
    case "\"": out += "\\\""
    case "\\": out += "\\\\"
    case "\n": out += "\\n"
    case _ where scalar.value < 0x20 || scalar.value == 0x7f: out += "?"
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out + "\""
}
