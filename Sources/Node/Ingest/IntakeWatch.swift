// Live mode: the agents of hosts that somebody watches are told to send samples each second.
internal import Platform
internal import Telemetry

extension Intake {
  /// Only connections whose hello named the host are told, again before what they were told runs out.
  func tellWatched(_ hosts: [String: Int64]) {
    guard isServing, !hosts.isEmpty else { return }
    let now = BootInstant.now()
    for connection in connections.values where connection.closeAt == nil && !connection.isClosed {
      guard case .streaming(let hello) = connection.native.state, let seconds = hosts[hello.live],
        // A client that does not read has its answers first.
        connection.outgoingCount < settings.outgoingBytes / 2
      else { continue }
      let until = now.adding(milliseconds: seconds * 1000)
      guard connection.liveUntil.adding(milliseconds: -3000) < now, until > connection.liveUntil else { continue }
      connection.liveUntil = until
      connection.queue(NativeReply.live(seconds: seconds).line)
      recount(connection)
      if !connection.isClosed { adjust(connection) }
    }
  }
}
