// How many new names and label sets one source may bring in an hour: an application that puts an order's number into
// a metric's name or labels must not fill the dictionaries, or the memory, of everybody.

/// Counts by source; bounded, whatever comes. New means: not known to the decoder that asks, so a takeover counts a
/// source's names anew.
public struct SourceQuota {
  private struct Count {
    var names: Int32 = 0
    var labelSets: Int32 = 0
  }
  /// Further sources share one count.
  static let mostSources = 16_384
  /// Room for several sources that bring all they may (2 MiB).
  private static let slots = 1 << 18
  /// A search gives up here: whoever makes hashes that collide gains nothing by it.
  private static let longestSearch = 64
  private static let shared: Int64 = -1

  public var names = Int32.max
  public var labelSets = Int32.max
  /// Records refused since the start.
  public private(set) var refused = 0
  private var counts: [Int64: Count] = [:]
  private var source = shared
  /// Hashes of label sets that are known, 0 where there is none; made when the first one comes.
  private var sets: [UInt64] = []
  private var setCount = 0

  init() {}

  /// An hour is over.
  public mutating func renew() {
    counts = [:]
    for index in sets.indices { sets[index] = 0 }
    setCount = 0
  }
  /// What follows is of this source.
  mutating func begin(_ source: String) { self.source = NameHash.id(of: source.utf8) }

  /// A name that is not known yet: whether the source may bring it.
  mutating func takesName() -> Bool {
    let key = counts[source] != nil || counts.count < SourceQuota.mostSources ? source : SourceQuota.shared
    guard counts[key, default: Count()].names < names else {
      refused += 1
      return false
    }
    counts[key, default: Count()].names += 1
    return true
  }
  /// A metric's name and labels, hashed: whether they are known, or the source may bring them.
  mutating func takesLabels(_ hash: UInt64) -> Bool {
    if labelSets == .max { return true }
    if sets.isEmpty { sets = Array(repeating: 0, count: SourceQuota.slots) }
    let set = (hash ^ UInt64(bitPattern: source)) | 1
    let mask = SourceQuota.slots - 1
    var slot = Int(truncatingIfNeeded: set >> 1) & mask
    var steps = 0
    while sets[slot] != 0 && steps < SourceQuota.longestSearch {
      if sets[slot] == set { return true }
      slot = (slot + 1) & mask
      steps += 1
    }
    let key = counts[source] != nil || counts.count < SourceQuota.mostSources ? source : SourceQuota.shared
    guard counts[key, default: Count()].labelSets < labelSets else {
      refused += 1
      return false
    }
    counts[key, default: Count()].labelSets += 1
    if setCount >= SourceQuota.slots / 4 * 3 {
      // Full of everybody's: known ones will come as new ones once more, so all counts begin again with them. Refusing
      // steady series would be worse than letting one source bring its share more than once in an hour.
      for index in sets.indices { sets[index] = 0 }
      for key in counts.keys { counts[key]?.labelSets = 0 }
      setCount = 0
      slot = Int(truncatingIfNeeded: set >> 1) & mask
    }
    if sets[slot] == 0 { setCount += 1 }
    sets[slot] = set
    return true
  }
}
