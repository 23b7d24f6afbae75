// Bytes received and not yet decoded of one connection, with the padding that makes eight-byte loads sound.

/// A bounded buffer of lines. It grows from `initialCapacity` to `maximumCapacity` while a connection is busy.
///
/// Filled by `fill` (read into it) or `append` (copy into it); emptied by the decoders, line by line, in place.
/// `fill` answers 0 without calling its body when no room is left: then the caller has to decode, or, when the decoder
/// answers `.incomplete` to a full buffer, it already dealt with the overlong line.
@safe public struct LineBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer
  /// Bytes that fit without growing.
  public private(set) var capacity: Int
  public let initialCapacity: Int
  public let maximumCapacity: Int
  /// Where the first byte not decoded yet is.
  private(set) var start = 0
  /// Behind the last byte received.
  private(set) var end = 0
  /// Everything before was searched for a newline already: bytes that trickle in are not searched again and again.
  private(set) var searched = 0

  /// `maximumCapacity` has to exceed the longest line that shall be accepted.
  public init(initialCapacity: Int = 4096, maximumCapacity: Int = 262_144) {
    precondition(initialCapacity > 0 && maximumCapacity >= initialCapacity)
    self.initialCapacity = initialCapacity
    self.maximumCapacity = maximumCapacity
    capacity = initialCapacity
    unsafe base = LineBuffer.allocate(initialCapacity)
  }
  deinit { unsafe base.deallocate() }

  /// Bytes received and not yet decoded.
  public var count: Int { end - start }
  public var isFull: Bool { start == 0 && end == maximumCapacity }

  /// Makes room, lets `body` write to it and tell how many bytes it wrote, and answers that (0 without room).
  public mutating func fill<E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> Int) throws(E) -> Int {
    makeRoom()
    guard end < capacity else { return 0 }
    // Sound: `base` has `capacity` bytes, and `end` is below.
    let room = unsafe UnsafeMutableRawBufferPointer(start: base + end, count: capacity - end)
    let count = unsafe try body(room)
    precondition(count >= 0 && count <= capacity - end)
    end += count
    return count
  }

  /// Copies as many bytes as fit and answers how many those were.
  public mutating func append(_ bytes: Span<UInt8>) -> Int {
    var taken = 0
    while taken < bytes.count {
      makeRoom()
      let count = min(bytes.count - taken, capacity - end)
      if count == 0 { break }
      unsafe bytes.withUnsafeBytes { source in
        // Sound: both ranges lie inside their buffers, which are distinct.
        unsafe (base + end).copyMemory(from: source.baseAddress.unsafelyUnwrapped + taken, byteCount: count)
      }
      end += count
      taken += count
    }
    return taken
  }

  /// What was received and not yet decoded, without a copy.
  public func withUnread(_ body: (RawSpan) -> Void) {
    // Sound: both indices lie in the buffer.
    body(unsafe RawSpan(_unsafeStart: base + start, byteCount: end - start))
  }
  /// The same, copied.
  public var unread: [UInt8] {
    // Sound: as above.
    unsafe Array(UnsafeRawBufferPointer(start: base + start, count: end - start))
  }

  /// Forgets everything; gives memory back that a busy time made it take.
  public mutating func removeAll() {
    (start, end, searched) = (0, 0, 0)
    releaseMemory()
  }
  /// Shrinks to `initialCapacity` where that loses nothing.
  public mutating func releaseMemory() {
    guard capacity > initialCapacity, count <= initialCapacity else { return }
    move(to: initialCapacity)
  }

  /// All bytes up to the end of the padding; indices are those of `start` and `end`.
  @inline(__always) func withBytes<R: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    // Sound: `allocate` gave `capacity + padding` initialized bytes.
    try body(unsafe RawSpan(_unsafeStart: base, byteCount: capacity + padding))
  }
  /// Index of the next newline, or nil when none was received yet.
  @inline(__always) mutating func lineEnd() -> Int? {
    var at = max(searched, start)
    let end = self.end
    let found: Int? = withBytes { bytes in
      while at < end {
        let marks = newlines(word(bytes, at))
        if marks != 0 {
          let found = at &+ firstMark(marks)
          return found < end ? found : nil
        }
        at &+= 8
      }
      return nil
    }
    searched = found ?? end
    return found
  }
  /// Everything before `index` is decoded.
  @inline(__always) mutating func consume(to index: Int) {
    precondition(index >= start && index <= end)
    start = index
    if start == end { (start, end, searched) = (0, 0, 0) }
  }

  private mutating func makeRoom() {
    if end < capacity && (start == 0 || capacity - end >= 1024) { return }
    if start > 0 { move(to: capacity) }
    if end == capacity && capacity < maximumCapacity { move(to: min(capacity * 4, maximumCapacity)) }
  }
  private mutating func move(to newCapacity: Int) {
    let count = end - start
    if newCapacity == capacity {
      // Sound: both ranges lie in the buffer; copyMemory allows them to overlap.
      unsafe base.copyMemory(from: base + start, byteCount: count)
    } else {
      let moved = unsafe LineBuffer.allocate(newCapacity)
      // Sound: callers made sure that `count` bytes fit.
      unsafe moved.copyMemory(from: base + start, byteCount: count)
      unsafe base.deallocate()
      unsafe base = moved
      capacity = newCapacity
    }
    searched = max(searched - start, 0)
    (start, end) = (0, count)
  }
  private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
    let base = UnsafeMutableRawPointer.allocate(byteCount: capacity + padding, alignment: 16)
    // The padding reads as newlines, so that no token runs on into what lies behind.
    unsafe (base + capacity).initializeMemory(as: UInt8.self, repeating: 0x0a, count: padding)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: capacity)
    return unsafe base
  }
}
