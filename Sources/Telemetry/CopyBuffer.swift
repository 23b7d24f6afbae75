// Rows of one table as binary COPY bytes, without header and trailer.

/// A growing buffer of rows; memory is kept by `removeAll` and given back by `releaseMemory`.
///
/// Writing follows one pattern: `reserve` for the whole row, then the `put` functions, which check nothing more in
/// release builds than that sum.
@safe public struct CopyBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  /// Bytes in use.
  public private(set) var count = 0
  /// Bytes up to which `put` may write.
  private var reserved = 0

  public init() { unsafe base = nil }
  deinit { unsafe base?.deallocate() }

  public mutating func removeAll() { (count, reserved) = (0, 0) }
  public mutating func releaseMemory() {
    unsafe base?.deallocate()
    unsafe base = nil
    (capacity, count, reserved) = (0, 0, 0)
  }

  /// Lends the bytes of `range`.
  public func withBytes<R: ~Copyable, E: Error>(
    _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    // Sound: the range lies in the bytes in use; without any, base is nil and the range is empty.
    return unsafe try body(
      UnsafeRawBufferPointer(start: base.map { unsafe UnsafeRawPointer($0) + range.lowerBound }, count: range.count))
  }
  /// A copy, for tests and rare uses.
  public func bytes(_ range: Range<Int>) -> [UInt8] { unsafe withBytes(range) { unsafe Array($0) } }
  public var bytes: [UInt8] { bytes(0..<count) }

  /// Makes sure that `bytes` more can be put.
  @inline(__always) mutating func reserve(_ bytes: Int) {
    if capacity &- count < bytes { grow(bytes) }
    reserved = count &+ bytes
  }
  /// Takes back what was put since the buffer had `count` bytes.
  mutating func truncate(to count: Int) {
    precondition(count <= self.count)
    self.count = count
  }
  @inline(never) private mutating func grow(_ bytes: Int) {
    let wanted = max(count + bytes, capacity * 2, 16_384)
    let grown = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
    if let old = unsafe base {
      // Sound: `count` bytes are in use in the old and fit in the new one.
      unsafe grown.copyMemory(from: old, byteCount: count)
      unsafe old.deallocate()
    }
    unsafe base = grown
    capacity = wanted
  }

  @inline(__always) private mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    let size = MemoryLayout<T>.size
    assert(count + size <= reserved)
    // Sound: `reserve` made room for the whole row, so base is there and the bytes lie inside.
    unsafe base.unsafelyUnwrapped.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
    count &+= size
  }
  @inline(__always) mutating func putColumnCount(_ value: Int16) { store(value) }
  @inline(__always) mutating func put(_ value: Int64) {
    store(Int32(8))
    store(value)
  }
  @inline(__always) mutating func put(_ value: Int16) {
    store(Int32(2))
    store(value)
  }
  @inline(__always) mutating func put(_ value: Int32) {
    store(Int32(4))
    store(value)
  }
  /// Types of array elements: their oids in pg_type.
  enum Element: Int32 {
    case bigint = 20
    case integer = 23
  }
  /// A column with an array of one dimension; `count` elements, each put as a column, follow.
  mutating func beginArray(_ element: Element, count: Int) {
    let size = element == .bigint ? 12 : 8
    store(Int32(truncatingIfNeeded: 20 &+ count &* size))
    store(Int32(1))
    store(Int32(0))
    store(element.rawValue)
    store(Int32(truncatingIfNeeded: count))
    store(Int32(1))
  }
  @inline(__always) mutating func put(_ value: Double) {
    store(Int32(8))
    store(value.bitPattern)
  }
  /// A uuid column.
  @inline(__always) mutating func put(_ trace: TraceID) {
    store(Int32(16))
    store(trace.high)
    store(trace.low)
  }
  @inline(__always) mutating func putNull() { store(Int32(-1)) }
  /// `isPresent` ? value : NULL.
  @inline(__always) mutating func put(_ value: Int64, if isPresent: Bool) {
    if isPresent { put(value) } else { putNull() }
  }
  @inline(__always) mutating func put(_ value: Double, if isPresent: Bool) {
    if isPresent { put(value) } else { putNull() }
  }
  @inline(__always) mutating func put(_ trace: TraceID, if isPresent: Bool) {
    if isPresent { put(trace) } else { putNull() }
  }
  /// A text or bytea column.
  @inline(__always) mutating func put(_ text: RawSpan) {
    store(Int32(truncatingIfNeeded: text.byteCount))
    append(text)
  }
  mutating func put(_ text: [UInt8]) {
    // Sound: bytes of UInt8 have no padding.
    unsafe put(text.span.bytes)
  }
  /// A jsonb column: its version byte, then the text.
  @inline(__always) mutating func putJSON(_ text: RawSpan) {
    store(Int32(truncatingIfNeeded: text.byteCount &+ 1))
    store(UInt8(1))
    append(text)
  }
  @inline(__always) private mutating func append(_ text: RawSpan) {
    let size = text.byteCount
    assert(count + size <= reserved)
    if size > 0 {
      unsafe text.withUnsafeBytes { source in
        // Sound: as in `store`; the source is another buffer.
        unsafe (base.unsafelyUnwrapped + count).copyMemory(from: source.baseAddress.unsafelyUnwrapped, byteCount: size)
      }
    }
    count &+= size
  }
}
