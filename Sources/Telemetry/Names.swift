// Which names are known: a bounded table from id to name, so that only new ones go to PostgreSQL.

/// A cache, never the truth: ids are computed, so forgetting names costs only sending them again.
///
/// Has to be emptied when a batch with names that were not stored is thrown away (demotion).
public struct Names: ~Copyable {
  enum Found {
    case known, new, collision
    /// New, and its source has brought too many already.
    case refused
  }

  private struct Entry {
    var id: Int64
    var offset: UInt32
    var count: UInt16
    var kind: UInt8
    var isUsed: Bool
  }
  private var entries: [Entry]
  /// Names one after the other, each zero padded to whole words.
  private var bytes: [UInt8]
  private var used = 0
  private let mask: Int
  /// Of names and label sets that sources bring.
  public var quota = SourceQuota()
  /// Names known.
  public private(set) var count = 0
  /// How many new patterns of log messages may still be noted: whoever logs ever new words must not fill the dictionary.
  private var patternsAllowed = Names.mostPatternsAtOnce
  static let mostPatternsAtOnce = 8192

  /// Room for 3/4 of 2^capacityLog2 names and 32 bytes for each; when full, everything is forgotten.
  public init(capacityLog2: Int = 16) {
    let capacity = 1 << capacityLog2
    mask = capacity - 1
    entries = Array(repeating: Entry(id: 0, offset: 0, count: 0, kind: 0, isUsed: false), count: capacity)
    bytes = Array(repeating: 0, count: capacity * 32)
  }
  public mutating func removeAll() {
    guard count > 0 else { return }
    for i in entries.indices { entries[i].isUsed = false }
    (count, used) = (0, 0)
  }

  /// Lets `more` new patterns in; called by the clock.
  public mutating func allowPatterns(_ more: Int) {
    patternsAllowed = min(patternsAllowed + more, Names.mostPatternsAtOnce)
  }
  /// Like `note`, of a pattern; nil when it is new and no more new ones are allowed.
  @inline(__always) mutating func notePattern(_ id: Int64, _ source: RawSpan, _ count: Int) -> Found? {
    if patternsAllowed == 0 && !isNoted(.pattern, id) { return nil }
    let found = note(.pattern, id, source, 0, count)
    if found == .new { patternsAllowed &-= 1 }
    return found
  }
  private func isNoted(_ kind: NameKind, _ id: Int64) -> Bool {
    var slot = firstSlot(kind, id)
    while entries[slot].isUsed {
      if entries[slot].id == id && entries[slot].kind == kind.rawValue { return true }
      slot = (slot &+ 1) & mask
    }
    return false
  }

  /// Looks the name `start..<start + count` of a padded buffer up, and notes it when it is new. `count` is at most 200.
  @inline(__always) mutating func note(
    _ kind: NameKind, _ id: Int64, _ source: RawSpan, _ start: Int, _ count: Int
  ) -> Found {
    var slot = firstSlot(kind, id)
    while true {
      let entry = entries[slot]
      if !entry.isUsed {
        // Patterns have a bound of their own; names of one byte are few, and what refused ones go by.
        if kind != .pattern && count > 1 && !quota.takesName() { return .refused }
        insert(kind, id, source, start, count)
        return .new
      }
      if entry.id == id && entry.kind == kind.rawValue {
        return Int(entry.count) == count && isSame(entry, source, start) ? .known : .collision
      }
      slot = (slot &+ 1) & mask
    }
  }
  @inline(__always) private func firstSlot(_ kind: NameKind, _ id: Int64) -> Int {
    Int(truncatingIfNeeded: id &+ Int64(kind.rawValue) &* 0x9e37_79b9) & mask
  }
  @inline(__always) private func isSame(_ entry: Entry, _ source: RawSpan, _ start: Int) -> Bool {
    // Sound: bytes of UInt8 have no padding.
    let known = unsafe bytes.span.bytes
    var offset = Int(entry.offset)
    var at = start
    var left = Int(entry.count)
    while left >= 8 {
      if word(known, offset) != word(source, at) { return false }
      offset &+= 8
      at &+= 8
      left &-= 8
    }
    return left == 0 || word(known, offset) == prefix(word(source, at), left)
  }
  @inline(never) private mutating func insert(
    _ kind: NameKind, _ id: Int64, _ source: RawSpan, _ start: Int, _ count: Int
  ) {
    let size = (count + 7) & ~7
    if self.count >= entries.count / 4 * 3 || used + size > bytes.count { removeAll() }
    var slot = firstSlot(kind, id)
    while entries[slot].isUsed { slot = (slot + 1) & mask }
    entries[slot] = Entry(
      id: id, offset: UInt32(used), count: UInt16(count), kind: kind.rawValue, isUsed: true)
    for i in 0..<size { bytes[used + i] = i < count ? byte(source, start + i) : 0 }
    used += size
    self.count += 1
  }
}
