// Where a line of the Influx line protocol ends: string fields may hold newlines, bad lines must not swallow good ones.

/// A run of bytes that is one line, or the news that none is whole yet.
enum InfluxLineEnd: Equatable {
  /// The line ends before this index, where its newline is (or the end of everything).
  case at(Int)
  /// No line of at most `maxLine` bytes begins here: skip those, and on to the next newline.
  case tooLong
  /// More bytes are needed.
  case incomplete
}

/// The end of the line that begins at `start` of `bytes[..<end]`, where nothing of it was looked at before.
func influxLineEnd(_ bytes: [UInt8], _ start: Int, _ end: Int, maxLine: Int, isLast: Bool) -> InfluxLineEnd {
  var scan = InfluxLineScan()
  return scan.end(bytes, start, end, maxLine: maxLine, isLast: isLast)
}

/// Progress through one line that is not whole yet: each byte of it is looked at once, however it trickles in.
struct InfluxLineScan: Equatable, Sendable {
  private enum Place { case beginning, comment, points, string }
  private var place = Place.beginning
  /// Of the next byte, from the line's beginning; may lie behind what has come.
  private(set) var at = 0
  /// Where the last string began, from the line's beginning.
  private var opened = 0
  private var isInFields = false
  private var previous: UInt8 = 0

  /// The end of the line that begins at `start` of `bytes[..<end]`. To be called again with more bytes behind the same
  /// ones.
  ///
  /// The answer depends on the bytes only, not on how they were cut: a quoted string that is not closed within `maxLine`
  /// bytes, or before the end of everything (`isLast`), is none, and its line ends at the first newline behind its quote.
  ///
  /// A string that nothing closed holds no `="`, where another could begin: what was looked at in vain is not looked at
  /// again for each of the lines in it.
  mutating func end(_ bytes: [UInt8], _ start: Int, _ end: Int, maxLine: Int, isLast: Bool) -> InfluxLineEnd {
    let limit = min(end, start + maxLine + 1)
    let isWindowFull = end - start > maxLine
    while start + at < limit {
      let c = bytes[start + at]
      switch place {
      case .beginning:
        if c == 0x20 || c == 0x09 { at += 1 } else { place = c == UInt8(ascii: "#") ? .comment : .points }
      case .comment:
        if c == 0x0a { return .at(start + at) }
        at += 1
      case .string:
        at += c == UInt8(ascii: "\\") ? 2 : 1
        if c == UInt8(ascii: "\"") { (place, previous) = (.points, c) }
      case .points:
        if c == 0x0a { return .at(start + at) }
        if c == UInt8(ascii: "\\") {
          // What it stands before decides, and may not have come yet.
          guard start + at + 1 < limit else {
            if isLast || isWindowFull { at += 1 } else { return .incomplete }
            continue
          }
          let isEscape = bytes[start + at + 1] != 0x0a
          (at, previous) = (at + (isEscape ? 2 : 1), isEscape ? 0 : c)
          continue
        }
        if c == 0x20 { isInFields = true }
        if c == UInt8(ascii: "\"") && isInFields && previous == UInt8(ascii: "=") { (place, opened) = (.string, at) }
        previous = c
        at += 1
      }
    }
    // Neither a newline outside of strings was found nor, perhaps, the end of a string.
    if !isWindowFull && !isLast { return .incomplete }
    if place == .string, let newline = newline(bytes, start + opened, limit) { return .at(newline) }
    // The newlines before lie in strings that are whole.
    return isWindowFull ? .tooLong : .at(end)
  }
}

private func newline(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
  var at = start
  while at < end {
    if bytes[at] == 0x0a { return at }
    at += 1
  }
  return nil
}
