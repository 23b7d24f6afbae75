// Metrics of one sample, and what becomes of counters between two.
internal import Platform
internal import Telemetry

/// Appends metrics of one host at one time.
struct MetricWriter {
  let host: String
  let app: String
  let time: Int64

  func add(_ name: String, _ value: Double, _ labels: JSONObject? = nil, to records: inout [Record]) {
    guard value.isFinite else { return }
    records.append(
      Record(time: time, host: host, app: app, .metric(Record.Metric(name: name, value: value, labels: labels))))
  }
  func add(_ name: String, _ value: UInt64?, _ labels: JSONObject? = nil, to records: inout [Record]) {
    if let value { add(name, Double(value), labels, to: &records) }
  }
}

/// What a counter grew by; nil when it went back: it wrapped, or was reset, and says nothing about this interval.
func growth(_ now: UInt64?, since before: UInt64?) -> Double? {
  guard let now, let before, now >= before else { return nil }
  return Double(now - before)
}

/// Labels of one member.
func label(_ key: String, _ value: String) -> JSONObject {
  var labels = JSONObject()
  labels.add(key, value)
  return labels
}

/// Counters of devices by name, with the labels that their metrics carry.
struct DeviceTable {
  final class Device {
    let labels: JSONObject
    /// Ignored by the configuration, or no whole disk.
    let isPassedOver: Bool
    var values: [UInt64]
    var turn = 0
    init(labels: JSONObject, isPassedOver: Bool, values: [UInt64]) {
      (self.labels, self.isPassedOver, self.values) = (labels, isPassedOver, values)
    }
  }
  private let key: String
  private var devices: [String: Device] = [:]
  private var turn = 0

  init(key: String) { self.key = key }

  /// Takes the counters of this sample. `body` gets each device that was there before, with its counters then.
  mutating func update(
    _ sample: [DeviceCounters], passesOver: (String) -> Bool,
    _ body: (Device, _ before: [UInt64], _ now: [UInt64]) -> Void
  ) {
    turn += 1
    for one in sample {
      if let device = devices[one.name] {
        let before = device.values
        device.values = one.values
        device.turn = turn
        if !device.isPassedOver { body(device, before, one.values) }
      } else {
        let device = Device(
          labels: label(key, one.name), isPassedOver: passesOver(one.name), values: one.values)
        device.turn = turn
        devices[one.name] = device
      }
    }
    // One that comes back begins anew.
    if devices.count > sample.count { devices = devices.filter { $0.value.turn == turn } }
  }
}
