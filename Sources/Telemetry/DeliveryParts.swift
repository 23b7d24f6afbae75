// Parts of deliveries among the rows of a batch: what a claim of each says, and which rows go when it is refused.

/// 128 bits that tell a delivery from every other one, of any source and protocol.
public struct DeliveryKey: Hashable, Sendable {
  public var high: Int64
  public var low: Int64
  public init(high: Int64, low: Int64) { (self.high, self.low) = (high, low) }
}

/// Consecutive records of one delivery as consecutive rows of a batch.
public struct DeliveryPart: Equatable, Sendable {
  /// The intake's own number of the delivery.
  public var delivery: UInt64
  /// Nil for a delivery without key: its rows are stored each time.
  public var key: DeliveryKey?
  public var digest: Int64
  public var source: String
  /// Over what it came, as the intake names it.
  public var kind = ""
  /// Which record of the delivery, from 0, the first row is.
  public var firstIndex: Int
  public var rows: Range<Int>
  public init(
    delivery: UInt64, key: DeliveryKey?, digest: Int64, source: String, firstIndex: Int, rows: Range<Int>
  ) {
    (self.delivery, self.key, self.digest, self.source) = (delivery, key, digest, source)
    (self.firstIndex, self.rows) = (firstIndex, rows)
  }
}

/// Records behind `prev` up to `last` of a delivery, counted from 1, as these rows of a batch.
public struct DeliveryClaim: Equatable, Sendable {
  public var delivery: UInt64
  public var key: DeliveryKey
  public var digest: Int64
  public var prev: Int
  public var last: Int
  public var rows: Range<Int>
}

/// Rows of a batch that are written together: ascending ranges that don't touch.
public struct RowRanges: Equatable, Sendable {
  public private(set) var ranges: [Range<Int>]
  public init(_ range: Range<Int>) { ranges = range.isEmpty ? [] : [range] }

  public var isEmpty: Bool { ranges.isEmpty }
  public var count: Int { ranges.reduce(0) { $0 + $1.count } }
  public var first: Int? { ranges.first?.lowerBound }

  /// The first half of the rows and the rest.
  public var halves: (RowRanges, RowRanges) {
    var left = count / 2
    var (front, back) = (RowRanges(0..<0), RowRanges(0..<0))
    for range in ranges {
      let middle = range.lowerBound + min(left, range.count)
      left -= middle - range.lowerBound
      if middle > range.lowerBound { front.ranges.append(range.lowerBound..<middle) }
      if middle < range.upperBound { back.ranges.append(middle..<range.upperBound) }
    }
    return (front, back)
  }
  /// Without those rows for which `isGone` is true.
  public mutating func remove(where isGone: (Int) -> Bool) {
    var kept: [Range<Int>] = []
    for row in ranges.joined() where !isGone(row) {
      if let last = kept.indices.last, kept[last].upperBound == row {
        kept[last] = kept[last].lowerBound..<row + 1
      } else {
        kept.append(row..<row + 1)
      }
    }
    ranges = kept
  }
}

extension Batch {
  /// What covers the rows of `rows` that belong to deliveries with a key, sorted by key. Rows of one part that are not
  /// consecutive (a bug of the caller) give a claim for each run, and all but one are refused.
  public func deliveryClaims(of rows: RowRanges) -> [DeliveryClaim] {
    var claims: [DeliveryClaim] = []
    for part in parts {
      guard let key = part.key else { continue }
      for range in rows.ranges {
        let common = range.clamped(to: part.rows)
        if common.isEmpty { continue }
        let prev = part.firstIndex + common.lowerBound - part.rows.lowerBound
        if let last = claims.indices.last, claims[last].delivery == part.delivery, claims[last].last == prev,
          claims[last].rows.upperBound == common.lowerBound
        {
          claims[last].last += common.count
          claims[last].rows = claims[last].rows.lowerBound..<common.upperBound
        } else {
          claims.append(
            DeliveryClaim(
              delivery: part.delivery, key: key, digest: part.digest, prev: prev, last: prev + common.count,
              rows: common))
        }
      }
    }
    return claims.sorted { ($0.key.high, $0.key.low, $0.prev) < ($1.key.high, $1.key.low, $1.prev) }
  }
  /// False when the batch has rows of this delivery and, behind them, of others. What follows has to go into the next
  /// batch: two claims of one delivery in one transaction are refused, and the lane with all its clients would fall.
  public func mayContinue(_ delivery: UInt64) -> Bool {
    // Deliveries go into batches one after the other: only the last part can be one that goes on.
    guard let last = parts.last, last.delivery == delivery else { return true }
    return last.rows.upperBound == rowCount
  }
  /// The part that a row belongs to.
  public func part(ofRow row: Int) -> DeliveryPart? {
    // Parts are in the order of their rows.
    var (low, high) = (0, parts.count)
    while low < high {
      let middle = (low + high) / 2
      if parts[middle].rows.upperBound <= row { low = middle + 1 } else { high = middle }
    }
    return low < parts.count && parts[low].rows.contains(row) ? parts[low] : nil
  }
  /// Whether the row is neither of a stream nor of a delivery with a key.
  public func isUnnumbered(row: Int) -> Bool {
    origin(ofRow: row).stream == Batch.noStream && part(ofRow: row)?.key == nil
  }
  /// Claims of streams that cover the rows of `rows`, sorted by stream.
  public func claims(of rows: RowRanges) -> [Claim] {
    var runs = rows.ranges.flatMap { claims(of: $0) }
    if rows.ranges.count > 1 { runs = Batch.merged(runs) }
    return runs
  }
}
