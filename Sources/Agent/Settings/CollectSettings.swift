// Section `collect` of agent.json5: what is measured, and how often.
internal import Configuration

public struct CollectSettings: Sendable, Equatable {
  /// Between two samples; one second while somebody watches the host.
  public var intervalMilliseconds: Int64 = 10_000
  /// Metrics of the host.
  public var host = true
}

extension CollectSettings {
  init(_ root: inout ConfigurationSection) throws(ConfigurationError) {
    var section = try root.section("collect")
    intervalMilliseconds = Int64(
      try section.integer("intervalMilliseconds", in: 1000...600_000, default: Int(intervalMilliseconds)))
    host = try section.boolean("host", default: host)
    try section.finish()
  }
}
