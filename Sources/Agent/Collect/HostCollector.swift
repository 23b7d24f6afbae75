// Metrics of the host.
internal import Platform
internal import Telemetry

/// Load averages, so far.
struct HostCollector {
  private let host: String
  private let app: String

  init(host: String, app: String) { (self.host, self.app) = (host, app) }

  mutating func collect(at now: SampleTime, into records: inout [Record]) {
    // A host without /proc has no load to tell of.
    guard let bytes = try? readFile("/proc/loadavg", limit: 4096) else { return }
    let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
    for (name, text) in zip(["load1", "load5", "load15"], fields) {
      guard let value = Double(text) else { continue }
      records.append(Record(time: now.time, host: host, app: app, .metric(.init(name: name, value: value))))
    }
  }
}
