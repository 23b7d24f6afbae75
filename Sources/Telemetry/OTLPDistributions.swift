// Data points of OTLP that are distributions: histograms, exponential histograms and summaries.

extension OTLPDecoder {
  /// Buckets of one side of an exponential histogram.
  private struct Side {
    var offset = 0
    var counts: [UInt64] = []
  }
  /// What histograms of both kinds have.
  private struct Distribution {
    var point = PointHead()
    var count: UInt64 = 0
    var sum: Double?
    var least: Double?
    var greatest: Double?
    /// More buckets than we take; reading stopped there.
    var isTooLarge = false
    var values: [Double] { [sum, least, greatest].compactMap { $0 } }
  }

  mutating func decodeHistogram(_ range: Range<Int>, _ head: MetricHead) throws(OTLPFault) {
    var found = Distribution()
    var (counts, bounds): ([UInt64], [UInt64]) = ([], [])
    do throws(WireFault) {
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes), !found.isTooLarge {
        switch (field.number, field.value) {
        case (3, .fixed64(let number)): found.point.time = number
        case (4, .fixed64(let number)): found.count = number
        case (5, .fixed64(let bits)): found.sum = Double(bitPattern: bits)
        case (6, _):
          found.isTooLarge = !(try field.append64(to: &counts, isVarint: false, most: limits.buckets, in: bytes))
        case (7, _):
          found.isTooLarge = !(try field.append64(to: &bounds, isVarint: false, most: limits.buckets, in: bytes))
        case (9, .bytes(let range)): try add(member: range, to: &found.point.labels, ours: OTLPDecoder.metricLabels)
        case (10, .varint(let number)): found.point.flags = UInt32(truncatingIfNeeded: number)
        case (11, .fixed64(let bits)): found.least = Double(bitPattern: bits)
        case (12, .fixed64(let bits)): found.greatest = Double(bitPattern: bits)
        default: break
        }
      }
    } catch {
      throw .wire(error)
    }
    let edges = bounds.map(Double.init(bitPattern:))
    guard try accepts(found, head, edges: edges, range) else { return }
    // Without buckets there is one from -Inf to +Inf, and its count may be left out.
    if counts.count != edges.count + 1 && !(counts.isEmpty && edges.isEmpty) {
      try refuse("\(head.name): \(counts.count) bucket counts do not fit \(edges.count) bounds", range)
      return
    }
    if !zip(edges, edges.dropFirst()).allSatisfy({ $0 < $1 }) {
      try refuse("\(head.name): the bounds of the buckets do not grow", range)
      return
    }
    try addTotals(found, head)
    var total: UInt64 = 0
    for (count, edge) in zip(counts, edges) {
      total = total.addingReportingOverflow(count).partialValue
      try add(head, "_bucket", Double(total), found.point, label: ("le", "\(edge)"))
    }
    if !counts.isEmpty { try add(head, "_bucket", Double(found.count), found.point, label: ("le", "+Inf")) }
  }

  mutating func decodeExponentialHistogram(_ range: Range<Int>, _ head: MetricHead) throws(OTLPFault) {
    var found = Distribution()
    var scale = 0
    var (zeros, threshold): (UInt64, Double) = (0, 0)
    var (positive, negative) = (Side(), Side())
    do throws(WireFault) {
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes), !found.isTooLarge {
        switch (field.number, field.value) {
        case (1, .bytes(let range)): try add(member: range, to: &found.point.labels, ours: OTLPDecoder.metricLabels)
        case (3, .fixed64(let number)): found.point.time = number
        case (4, .fixed64(let number)): found.count = number
        case (5, .fixed64(let bits)): found.sum = Double(bitPattern: bits)
        case (6, .varint): scale = Int(field.sint32 ?? 0)
        case (7, .fixed64(let number)): zeros = number
        case (8, .bytes(let range)): found.isTooLarge = !(try read(range, &positive))
        case (9, .bytes(let range)): found.isTooLarge = !(try read(range, &negative))
        case (10, .varint(let number)): found.point.flags = UInt32(truncatingIfNeeded: number)
        case (12, .fixed64(let bits)): found.least = Double(bitPattern: bits)
        case (13, .fixed64(let bits)): found.greatest = Double(bitPattern: bits)
        case (14, .fixed64(let bits)): threshold = Double(bitPattern: bits)
        default: break
        }
      }
    } catch {
      throw .wire(error)
    }
    guard try accepts(found, head, edges: [threshold], range) else { return }
    if !(-10...20).contains(scale) {
      try refuse("\(head.name): a scale of \(scale) is not between -10 and 20", range)
      return
    }
    try addTotals(found, head)
    // Only buckets that hold something: the counts are cumulative, so the others add nothing.
    var total: UInt64 = 0
    for (index, count) in negative.counts.enumerated().reversed() where count > 0 {
      total = total.addingReportingOverflow(count).partialValue
      // From -base^(index + 1) to -base^index.
      try add(head, "_bucket", Double(total), found.point, label: le(-power(negative.offset + index, scale)))
    }
    if zeros > 0 {
      total = total.addingReportingOverflow(zeros).partialValue
      try add(head, "_bucket", Double(total), found.point, label: le(threshold))
    }
    for (index, count) in positive.counts.enumerated() where count > 0 {
      total = total.addingReportingOverflow(count).partialValue
      let edge = power(positive.offset + index + 1, scale)
      if edge.isFinite { try add(head, "_bucket", Double(total), found.point, label: le(edge)) }
    }
    try add(head, "_bucket", Double(found.count), found.point, label: ("le", "+Inf"))
  }

  mutating func decodeSummary(_ range: Range<Int>, _ head: MetricHead) throws(OTLPFault) {
    var found = Distribution()
    var quantiles: [(quantile: Double, value: Double)] = []
    do throws(WireFault) {
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes), !found.isTooLarge {
        switch (field.number, field.value) {
        case (3, .fixed64(let number)): found.point.time = number
        case (4, .fixed64(let number)): found.count = number
        case (5, .fixed64(let bits)): found.sum = Double(bitPattern: bits)
        case (6, .bytes(let range)):
          quantiles.append(try quantile(range))
          found.isTooLarge = quantiles.count > limits.buckets
        case (7, .bytes(let range)): try add(member: range, to: &found.point.labels, ours: OTLPDecoder.metricLabels)
        case (8, .varint(let number)): found.point.flags = UInt32(truncatingIfNeeded: number)
        default: break
        }
      }
    } catch {
      throw .wire(error)
    }
    // A quantile of nothing is NaN by custom: left out, not refused.
    if found.count == 0 { quantiles.removeAll { $0.value.isNaN } }
    guard try accepts(found, head, edges: quantiles.flatMap { [$0.quantile, $0.value] }, range) else { return }
    found.sum = found.sum ?? 0
    try addTotals(found, head)
    for (quantile, value) in quantiles { try add(head, "", value, found.point, label: ("quantile", "\(quantile)")) }
  }

  private mutating func accepts(
    _ found: Distribution, _ head: MetricHead, edges: [Double], _ range: Range<Int>
  ) throws(OTLPFault) -> Bool {
    if found.isTooLarge {
      try refuse("\(head.name): a data point has more than \(limits.buckets) buckets", range)
      return false
    }
    return try accepts(found.point, head, values: found.values + edges, range)
  }
  private mutating func addTotals(_ found: Distribution, _ head: MetricHead) throws(OTLPFault) {
    try add(head, "_count", Double(found.count), found.point)
    if let sum = found.sum { try add(head, "_sum", sum, found.point) }
    if let least = found.least { try add(head, "_min", least, found.point) }
    if let greatest = found.greatest { try add(head, "_max", greatest, found.point) }
  }
  private func le(_ edge: Double) -> (String, String) { ("le", "\(edge)") }

  /// False with too many buckets.
  private func read(_ range: Range<Int>, _ side: inout Side) throws(WireFault) -> Bool {
    var cursor = WireCursor(range)
    while let field = try cursor.next(in: bytes) {
      switch field.number {
      case 1: side.offset = Int(field.sint32 ?? 0)
      case 2:
        if !(try field.append64(to: &side.counts, isVarint: true, most: limits.buckets, in: bytes)) { return false }
      default: break
      }
    }
    return true
  }
  private func quantile(_ range: Range<Int>) throws(WireFault) -> (quantile: Double, value: Double) {
    var cursor = WireCursor(range)
    var (quantile, value) = (0.0, 0.0)
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .fixed64(let bits)): quantile = Double(bitPattern: bits)
      case (2, .fixed64(let bits)): value = Double(bitPattern: bits)
      default: break
      }
    }
    return (quantile, value)
  }
}

/// base^index with base = 2^(2^-scale), for scales of -10 to 20: 2^(index / 2^scale), infinite or 0 beyond the doubles.
private func power(_ index: Int, _ scale: Int) -> Double {
  if scale <= 0 {
    let exponent = min(max(index, -2000), 2000) << -scale
    return exponent > 1023 ? .infinity : exponent < -1074 ? 0 : Double(sign: .plus, exponent: exponent, significand: 1)
  }
  let whole = index >> scale
  if whole > 1023 { return .infinity }
  if whole < -1075 { return 0 }
  // The rest, bit by bit: 2^(1/2), 2^(1/4), ... where its bits are set.
  let rest = index & (1 << scale - 1)
  var (root, product) = (2.0, 1.0)
  for bit in stride(from: scale - 1, through: 0, by: -1) {
    root = root.squareRoot()
    if rest >> bit & 1 == 1 { product *= root }
  }
  return Double(sign: .plus, exponent: whole, significand: product)
}
