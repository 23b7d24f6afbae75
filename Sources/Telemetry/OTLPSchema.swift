// The messages of OTLP as its JSON encoding names their fields: lowerCamelCase name, number, and form on the wire.

/// A message of opentelemetry.proto, as far as the decoder reads it; fields that are not here are passed over.
enum OTLPMessage: Hashable, CaseIterable {
  case logsRequest, metricsRequest, tracesRequest
  case resourceLogs, resourceMetrics, resourceSpans, scopeLogs, scopeMetrics, scopeSpans
  case resource, scope, keyValue, anyValue, arrayValue, keyValueList
  case logRecord
  case span, event, link, status
  case metric, gauge, sum, histogram, exponentialHistogram, summary
  case numberPoint, histogramPoint, exponentialPoint, buckets, summaryPoint, quantile
}

struct OTLPField: Equatable {
  enum Form: Equatable {
    case string
    /// 32 or 16 hexadecimal digits, in either case.
    case hex
    case base64
    case bool
    /// Whole numbers by their size on the wire; a number or a string in JSON. `enumeration` is a number only.
    case int64, uint32, sint32, fixed64, sfixed64, fixed32, enumeration
    case double
    case fixed64s, doubles, uint64s
    case message(OTLPMessage)
    case messages(OTLPMessage)
  }
  var number: UInt32
  var form: Form
  init(_ number: UInt32, _ form: Form) { (self.number, self.form) = (number, form) }
}

extension OTLPMessage {
  init(_ signal: OTLPSignal) {
    switch signal {
    case .logs: self = .logsRequest
    case .metrics: self = .metricsRequest
    case .traces: self = .tracesRequest
    }
  }

  static let fields: [OTLPMessage: [String: OTLPField]] = Dictionary(
    uniqueKeysWithValues: allCases.map { ($0, $0.names) })

  private static let attributes = OTLPField.Form.messages(.keyValue)

  private var names: [String: OTLPField] {
    switch self {
    case .logsRequest: ["resourceLogs": OTLPField(1, .messages(.resourceLogs))]
    case .metricsRequest: ["resourceMetrics": OTLPField(1, .messages(.resourceMetrics))]
    case .tracesRequest: ["resourceSpans": OTLPField(1, .messages(.resourceSpans))]
    case .resourceLogs:
      ["resource": OTLPField(1, .message(.resource)), "scopeLogs": OTLPField(2, .messages(.scopeLogs))]
    case .resourceMetrics:
      ["resource": OTLPField(1, .message(.resource)), "scopeMetrics": OTLPField(2, .messages(.scopeMetrics))]
    case .resourceSpans:
      ["resource": OTLPField(1, .message(.resource)), "scopeSpans": OTLPField(2, .messages(.scopeSpans))]
    case .scopeLogs: ["scope": OTLPField(1, .message(.scope)), "logRecords": OTLPField(2, .messages(.logRecord))]
    case .scopeMetrics: ["scope": OTLPField(1, .message(.scope)), "metrics": OTLPField(2, .messages(.metric))]
    case .scopeSpans: ["scope": OTLPField(1, .message(.scope)), "spans": OTLPField(2, .messages(.span))]
    case .resource: ["attributes": OTLPField(1, OTLPMessage.attributes)]
    case .scope:
      [
        "name": OTLPField(1, .string), "version": OTLPField(2, .string),
        "attributes": OTLPField(3, OTLPMessage.attributes),
      ]
    case .keyValue: ["key": OTLPField(1, .string), "value": OTLPField(2, .message(.anyValue))]
    case .anyValue:
      [
        "stringValue": OTLPField(1, .string), "boolValue": OTLPField(2, .bool), "intValue": OTLPField(3, .int64),
        "doubleValue": OTLPField(4, .double), "arrayValue": OTLPField(5, .message(.arrayValue)),
        "kvlistValue": OTLPField(6, .message(.keyValueList)), "bytesValue": OTLPField(7, .base64),
      ]
    case .arrayValue: ["values": OTLPField(1, .messages(.anyValue))]
    case .keyValueList: ["values": OTLPField(1, .messages(.keyValue))]
    case .logRecord: OTLPMessage.logRecordNames
    case .span: OTLPMessage.spanNames
    case .event:
      [
        "timeUnixNano": OTLPField(1, .fixed64), "name": OTLPField(2, .string),
        "attributes": OTLPField(3, OTLPMessage.attributes),
      ]
    case .link:
      [
        "traceId": OTLPField(1, .hex), "spanId": OTLPField(2, .hex),
        "attributes": OTLPField(4, OTLPMessage.attributes),
      ]
    case .status: ["message": OTLPField(2, .string), "code": OTLPField(3, .enumeration)]
    case .metric: OTLPMessage.metricNames
    case .gauge, .summary, .sum, .histogram, .exponentialHistogram: aggregationNames
    case .numberPoint: OTLPMessage.numberPointNames
    case .histogramPoint: OTLPMessage.histogramPointNames
    case .exponentialPoint: OTLPMessage.exponentialPointNames
    case .buckets: ["offset": OTLPField(1, .sint32), "bucketCounts": OTLPField(2, .uint64s)]
    case .summaryPoint: OTLPMessage.summaryPointNames
    case .quantile: ["quantile": OTLPField(1, .double), "value": OTLPField(2, .double)]
    }
  }

  /// All aggregations number alike; what one of them has not (a gauge no temporality) is not read from it either.
  private var aggregationNames: [String: OTLPField] {
    let points: OTLPMessage =
      self == .histogram
      ? .histogramPoint
      : self == .exponentialHistogram ? .exponentialPoint : self == .summary ? .summaryPoint : .numberPoint
    var names = ["dataPoints": OTLPField(1, .messages(points))]
    if self == .gauge || self == .summary { return names }
    names["aggregationTemporality"] = OTLPField(2, .enumeration)
    if self == .sum { names["isMonotonic"] = OTLPField(3, .bool) }
    return names
  }

  private static let logRecordNames = [
    "timeUnixNano": OTLPField(1, .fixed64), "observedTimeUnixNano": OTLPField(11, .fixed64),
    "severityNumber": OTLPField(2, .enumeration), "severityText": OTLPField(3, .string),
    "body": OTLPField(5, .message(.anyValue)), "attributes": OTLPField(6, attributes),
    "droppedAttributesCount": OTLPField(7, .uint32), "flags": OTLPField(8, .fixed32),
    "traceId": OTLPField(9, .hex), "spanId": OTLPField(10, .hex), "eventName": OTLPField(12, .string),
  ]
  private static let spanNames = [
    "traceId": OTLPField(1, .hex), "spanId": OTLPField(2, .hex), "traceState": OTLPField(3, .string),
    "parentSpanId": OTLPField(4, .hex), "flags": OTLPField(16, .fixed32), "name": OTLPField(5, .string),
    "kind": OTLPField(6, .enumeration), "startTimeUnixNano": OTLPField(7, .fixed64),
    "endTimeUnixNano": OTLPField(8, .fixed64), "attributes": OTLPField(9, attributes),
    "droppedAttributesCount": OTLPField(10, .uint32), "events": OTLPField(11, .messages(.event)),
    "droppedEventsCount": OTLPField(12, .uint32), "links": OTLPField(13, .messages(.link)),
    "droppedLinksCount": OTLPField(14, .uint32), "status": OTLPField(15, .message(.status)),
  ]
  private static let metricNames = [
    "name": OTLPField(1, .string), "description": OTLPField(2, .string), "unit": OTLPField(3, .string),
    "gauge": OTLPField(5, .message(.gauge)), "sum": OTLPField(7, .message(.sum)),
    "histogram": OTLPField(9, .message(.histogram)),
    "exponentialHistogram": OTLPField(10, .message(.exponentialHistogram)),
    "summary": OTLPField(11, .message(.summary)),
  ]
  private static let numberPointNames = [
    "attributes": OTLPField(7, attributes), "timeUnixNano": OTLPField(3, .fixed64), "flags": OTLPField(8, .uint32),
    "asDouble": OTLPField(4, .double), "asInt": OTLPField(6, .sfixed64),
  ]
  private static let histogramPointNames = [
    "attributes": OTLPField(9, attributes), "timeUnixNano": OTLPField(3, .fixed64), "flags": OTLPField(10, .uint32),
    "count": OTLPField(4, .fixed64), "sum": OTLPField(5, .double), "min": OTLPField(11, .double),
    "max": OTLPField(12, .double), "bucketCounts": OTLPField(6, .fixed64s), "explicitBounds": OTLPField(7, .doubles),
  ]
  private static let exponentialPointNames = [
    "attributes": OTLPField(1, attributes), "timeUnixNano": OTLPField(3, .fixed64), "flags": OTLPField(10, .uint32),
    "count": OTLPField(4, .fixed64), "sum": OTLPField(5, .double), "min": OTLPField(12, .double),
    "max": OTLPField(13, .double), "scale": OTLPField(6, .sint32), "zeroCount": OTLPField(7, .fixed64),
    "zeroThreshold": OTLPField(14, .double), "positive": OTLPField(8, .message(.buckets)),
    "negative": OTLPField(9, .message(.buckets)),
  ]
  private static let summaryPointNames = [
    "attributes": OTLPField(7, attributes), "timeUnixNano": OTLPField(3, .fixed64), "flags": OTLPField(8, .uint32),
    "count": OTLPField(4, .fixed64), "sum": OTLPField(5, .double),
    "quantileValues": OTLPField(6, .messages(.quantile)),
  ]
}
