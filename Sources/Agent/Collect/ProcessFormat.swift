// What /proc/PID/stat and /proc/PID/cmdline say.
internal import Telemetry

/// Of proc_pid_stat(5), what a watcher needs.
struct ProcessFormat: Equatable {
  /// At most 15 bytes; whatever the process calls itself.
  var name: [UInt8]
  var state: String
  var parent: Int32
  /// User and system time in clock ticks.
  var ticks: UInt64
  var threads: Int64
  /// In clock ticks since the system started: with the pid, which process it is.
  var start: UInt64
  var residentPages: UInt64

  /// Nil for anything else. The name can hold blanks and brackets: it ends at the last one.
  init?(_ bytes: [UInt8], count: Int) {
    let all = bytes[..<min(max(count, 0), bytes.count)]
    guard let open = all.firstIndex(of: UInt8(ascii: "(")), let close = all.lastIndex(of: UInt8(ascii: ")")),
      open < close
    else { return nil }
    name = Array(all[(open + 1)..<close].prefix(64))
    var s = ByteScanner(all[(close + 1)...])
    let letter = s.word()
    guard letter.count == 1, let parent = s.number(), let parent = Int32(exactly: parent) else { return nil }
    state = ProcessFormat.state(all[letter.lowerBound])
    self.parent = parent
    // Fields 5 to 24; tpgid (8) and the priorities (18, 19) can be negative.
    var values: [UInt64] = []
    for _ in 5...24 {
      s.skipBlanks()
      let isNegative = s.take(UInt8(ascii: "-"))
      guard let number = s.number() else { return nil }
      values.append(isNegative ? 0 : number)
    }
    let (ticks, overflow) = values[9].addingReportingOverflow(values[10])
    guard !overflow, let threads = Int64(exactly: values[15]) else { return nil }
    (self.ticks, self.threads, start, residentPages) = (ticks, threads, values[17], values[19])
  }

  static func state(_ letter: UInt8) -> String {
    switch letter {
    case UInt8(ascii: "R"): "running"
    case UInt8(ascii: "S"): "sleeping"
    case UInt8(ascii: "D"): "waiting"
    case UInt8(ascii: "Z"): "zombie"
    case UInt8(ascii: "T"): "stopped"
    case UInt8(ascii: "t"): "traced"
    case UInt8(ascii: "X"), UInt8(ascii: "x"): "dead"
    case UInt8(ascii: "I"): "idle"
    case UInt8(ascii: "P"): "parked"
    default: "unknown"
    }
  }
}

/// Arguments with blanks between them.
func commandLine(_ bytes: some RandomAccessCollection<UInt8>) -> [UInt8] {
  var line = bytes.map { $0 == 0 ? 0x20 : $0 }
  while line.last == 0x20 { line.removeLast() }
  return line
}
