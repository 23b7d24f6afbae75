// What a client may not do to others by being many or slow: shares of the descriptors, deadlines of its messages.
internal import Platform
internal import Telemetry

/// How the process's descriptors are divided: clients of the intake, clients over HTTP, and the rest, which nobody who
/// connects can take away.
struct ConnectionShare: Equatable {
  var forIngest: Int
  var forHTTP: Int

  func ingest(_ wanted: Int) -> Int { min(wanted, forIngest) }
  func http(_ wanted: Int) -> Int { min(wanted, forHTTP) }
}
/// Of `limit` descriptors `reserved` are kept back; of the others HTTP has a quarter.
func connectionShare(_ limit: Int, _ reserved: Int) -> ConnectionShare {
  let free = max(16, limit - reserved)
  return ConnectionShare(forIngest: free - free / 4, forHTTP: free / 4)
}

extension Intake {
  /// Closes who does not finish what it began, or does not read what it is told.
  func closeIfSlow(_ connection: ClientConnection, _ now: BootInstant) {
    if connection.hasOutgoing,
      now.milliseconds(since: connection.lastRead) > Double(settings.unreadMilliseconds)
    {
      count("answers not read in time", in: &counters.refusedByReason)
      close(connection, resetting: true)
    } else if let since = connection.partialSince,
      now.milliseconds(since: since) > Double(settings.messageMilliseconds)
    {
      count("not whole in time", in: &counters.refusedByReason)
      close(connection, resetting: true)
    }
  }
}
