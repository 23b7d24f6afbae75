// Where a line of the Influx line protocol ends: string fields may hold newlines, bad lines must not swallow good ones.

/// A run of bytes that is one line, or the news that none is whole yet.
enum InfluxLineEnd: Equatable {
  /// The line ends before this index, where its newline is (or the end of everything).
  case at(Int)
  /// No line of at most `maxLine` bytes begins here: skip to the next newline.
  case tooLong
  /// More bytes are needed.
  case incomplete
}

/// The end of the line that begins at `start` of `bytes[..<end]`.
///
/// The answer depends on the bytes only, not on how they were cut: a quoted string that is not closed within `maxLine`
/// bytes, or before the end of everything (`isLast`), is none, and its line ends at the first newline.
func influxLineEnd(_ bytes: [UInt8], _ start: Int, _ end: Int, maxLine: Int, isLast: Bool) -> InfluxLineEnd {
  let limit = min(end, start + maxLine + 1)
  var at = start
  while at < limit, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
  if at < limit, bytes[at] == UInt8(ascii: "#") {
    if let newline = newline(bytes, at, limit) { return .at(newline) }
  } else {
    var isInFields = false
    var isOpen = false
    var previous: UInt8 = 0
    scan: while at < limit {
      let c = bytes[at]
      switch c {
      case 0x0a: return .at(at)
      case UInt8(ascii: "\\") where at + 1 < limit && bytes[at + 1] != 0x0a:
        previous = 0
        at += 2
        continue scan
      case 0x20: isInFields = true
      case UInt8(ascii: "\"") where isInFields && previous == UInt8(ascii: "="):
        guard let close = closingQuote(bytes, at + 1, limit) else {
          isOpen = true
          break scan
        }
        at = close
      default: break
      }
      previous = c
      at += 1
    }
    // Everything was read: the newlines before lie in strings that are whole.
    if isLast && !isOpen && limit == end && end - start <= maxLine { return .at(end) }
  }
  // Neither a newline outside of strings was found nor, perhaps, the end of a string.
  let isWindowFull = end - start > maxLine
  if !isWindowFull && !isLast { return .incomplete }
  if let newline = newline(bytes, start, limit) { return .at(newline) }
  return isWindowFull ? .tooLong : .at(end)
}

private func newline(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
  var at = start
  while at < end {
    if bytes[at] == 0x0a { return at }
    at += 1
  }
  return nil
}
private func closingQuote(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
  var at = start
  while at < end {
    if bytes[at] == UInt8(ascii: "\"") { return at }
    at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
  }
  return nil
}
