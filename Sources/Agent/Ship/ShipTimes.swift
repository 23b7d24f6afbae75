// The patience of an agent with its service, in milliseconds.

enum ShipTimes {
  static let pingMilliseconds: Int64 = 100
  static let silentMilliseconds: Int64 = 700
  /// A welcome waits for COMMIT, behind those of all agents that come at once after a takeover. The pings meanwhile are for
  /// the kernels: that of a node which lost the address, or its worker, resets the connection.
  static let welcomeMilliseconds: Int64 = 3000
  static let greetingPingMilliseconds: Int64 = 300
  static let connectMilliseconds: Int64 = 150
  /// Longer than a silent peer gets: after a takeover a node has the handshakes of all agents to compute.
  static let handshakeMilliseconds: Int64 = 1500
  /// Between attempts with a token that was refused: somebody has to bring another one.
  static let refusedMilliseconds: Int64 = 5000
}
