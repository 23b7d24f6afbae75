// Section `follow` of agent.json5: log files, the journal and access logs.
internal import Configuration

public struct FollowSettings: Sendable, Equatable {}

extension FollowSettings {
  init(_ root: inout ConfigurationSection) throws(ConfigurationError) {
    let section = try root.section("follow")
    try section.finish()
  }
}
