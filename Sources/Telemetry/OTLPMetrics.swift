// Metrics of OTLP to `metric` records: gauges and sums here, distributions in OTLPDistributions.swift.
//
// A gauge or a sum becomes one record under its own name. A distribution becomes several, named as Prometheus names
// them: `_count`, `_sum`, `_min`, `_max`, `_bucket` with the label `le` (cumulative), or the label `quantile`. What the
// numbers mean beyond that is in labels: unit, temporality ("delta" or "cumulative"), monotonic.

extension OTLPDecoder {
  /// What all data points of a metric share.
  struct MetricHead {
    var name = ""
    /// The whole name, where the one above was cut.
    var fullName: String?
    var unit = ""
    var temporality: String?
    var isMonotonic = false
  }
  enum MetricKind: UInt32 { case gauge = 5, sum = 7, histogram = 9, exponentialHistogram = 10, summary = 11 }

  /// Labels that are ours; an attribute of such a name gets "attributes." in front.
  static let metricLabels = [
    "resource", "scope", "unit", "temporality", "monotonic", "le", "quantile", "metric",
  ]

  mutating func decodeMetric(_ range: Range<Int>) throws(OTLPFault) {
    var head = MetricHead()
    var kind: MetricKind?
    var parts: [Range<Int>] = []
    do throws(WireFault) {
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes) {
        guard let part = field.range else { continue }
        switch field.number {
        case 1:
          let name = try text(part)
          head.name = OTLPDecoder.name(name)
          head.fullName = head.name == name ? nil : name
        case 3: head.unit = try text(part)
        default:
          // One of several kinds; of several the last one counts, and parts of the same are one.
          guard let found = MetricKind(rawValue: field.number) else { continue }
          if found != kind { parts = [] }
          kind = found
          // An empty one has no points, and there may be millions.
          if !part.isEmpty { parts.append(part) }
        }
      }
      for part in parts { try readAggregation(part, &head) }
    } catch {
      throw .wire(error)
    }
    guard let kind else { return }
    for part in parts {
      var points = WireCursor(part)
      while let point = try next(1, &points) {
        beginItem()
        if head.name.isEmpty {
          try refuse("a metric has no name", point)
          continue
        }
        switch kind {
        case .gauge, .sum: try decodeNumber(point, head)
        case .histogram: try decodeHistogram(point, head)
        case .exponentialHistogram: try decodeExponentialHistogram(point, head)
        case .summary: try decodeSummary(point, head)
        }
      }
    }
  }

  /// Temporality and monotonicity have the same numbers wherever they exist; gauges and summaries have neither.
  private func readAggregation(_ range: Range<Int>, _ head: inout MetricHead) throws(WireFault) {
    var cursor = WireCursor(range)
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (2, .varint): head.temporality = field.int32 == 1 ? "delta" : field.int32 == 2 ? "cumulative" : nil
      case (3, .varint(let number)): head.isMonotonic = number != 0
      default: break
      }
    }
  }

  /// What every kind of data point has.
  struct PointHead {
    var time: UInt64 = 0
    var flags: UInt32 = 0
    var labels = JSONObject()
    /// The sender has nothing to tell at this time: FLAG_NO_RECORDED_VALUE.
    var hasNoValue: Bool { flags & 1 != 0 }
  }

  private mutating func decodeNumber(_ range: Range<Int>, _ head: MetricHead) throws(OTLPFault) {
    var point = PointHead()
    var value: Double?
    do throws(WireFault) {
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes) {
        switch (field.number, field.value) {
        case (3, .fixed64(let number)): point.time = number
        case (4, .fixed64(let bits)): value = Double(bitPattern: bits)
        case (6, .fixed64(let bits)): value = Double(Int64(bitPattern: bits))
        case (7, .bytes(let range)): try add(member: range, to: &point.labels, ours: OTLPDecoder.metricLabels)
        case (8, .varint(let number)): point.flags = UInt32(truncatingIfNeeded: number)
        default: break
        }
      }
    } catch {
      throw .wire(error)
    }
    guard try accepts(point, head, values: [value], range) else { return }
    try add(head, "", value ?? 0, point)
  }

  /// Whether a data point can be stored; refuses it otherwise, as a whole.
  mutating func accepts(
    _ point: PointHead, _ head: MetricHead, values: [Double?], _ range: Range<Int>
  ) throws(OTLPFault) -> Bool {
    if point.hasNoValue {
      try refuse("\(head.name): a data point without a recorded value", range)
    } else if values.contains(where: { $0 == nil }) {
      try refuse("\(head.name): a data point has no value", range)
    } else if values.contains(where: { $0?.isFinite == false }) {
      try refuse("\(head.name): NaN and infinities can't be stored", range)
    } else {
      return true
    }
    return false
  }

  /// Adds one series of a data point.
  mutating func add(
    _ head: MetricHead, _ suffix: String, _ value: Double, _ point: PointHead, label: (String, String)? = nil
  ) throws(OTLPFault) {
    var labels = point.labels
    if !head.unit.isEmpty { labels.add("unit", head.unit) }
    if let temporality = head.temporality { labels.add("temporality", temporality) }
    if head.isMonotonic { labels.add("monotonic", true) }
    if let label { labels.add(label.0, label.1) }
    // A suffix has to find room.
    let name = suffix.isEmpty ? head.name : OTLPDecoder.cut(head.name, at: 200 - suffix.utf8.count) + suffix
    if let full = head.fullName ?? (name == head.name + suffix ? nil : head.name) { labels.add("metric", full) }
    if !resource.labels.isEmpty { labels.add("resource", resource.labels) }
    if !scope.isEmpty { labels.add("scope", scope) }
    let metric = Record.Metric(name: name, value: value, labels: labels.isEmpty ? nil : labels)
    try add(.metric(metric), nanoseconds: point.time, size: name.utf8.count + labels.count)
  }
}
