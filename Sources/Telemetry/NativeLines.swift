// Lines of the native protocol as a delivery: kept as they came, and decoded where they become rows.

/// The lines of a body, blank ones left out. Each is a record without `seq`, or is refused when it becomes a row.
public struct NativeLines: Equatable, Sendable {
  /// The body, a newline, and the padding that makes eight-byte loads sound.
  let bytes: [UInt8]
  let ranges: [Range<Int>]
  /// Of each, from 1, in the body.
  public let numbers: [Int32]

  /// Nil when there are more than `limit` lines.
  public init?(_ body: [UInt8], limit: Int) {
    var bytes = body
    bytes.reserveCapacity(body.count + 1 + padding)
    bytes.append(contentsOf: repeatElement(0x0a, count: 1 + padding))
    var ranges: [Range<Int>] = []
    var numbers: [Int32] = []
    var (start, number, isBlank) = (0, Int32(0), true)
    for index in 0...body.count {
      let byte = bytes[index]
      if byte != 0x0a {
        if byte != 0x20 && byte != 0x09 && byte != 0x0d { isBlank = false }
        continue
      }
      number &+= 1
      if !isBlank {
        if ranges.count == limit { return nil }
        ranges.append(start..<index)
        numbers.append(number)
      }
      (start, isBlank) = (index + 1, true)
    }
    (self.bytes, self.ranges, self.numbers) = (bytes, ranges, numbers)
  }
  /// None.
  public init() { (bytes, ranges, numbers) = ([], [], []) }

  public var count: Int { ranges.count }
  var heldBytes: Int { bytes.count + ranges.count * (MemoryLayout<Range<Int>>.size + 4) }
}
