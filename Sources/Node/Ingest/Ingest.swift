// The intake of the active node as the control thread sees it: start, activate, stop, drain, look.
public import Platform
internal import Postgres

/// Owns the threads "ingest" (all sockets), "lane-0", "lane-1", ... (one PostgreSQL session each) and "upkeep".
public final class Ingest: Sendable {
  public init(
    configuration: NodeConfiguration, sessions: DatabaseSessions, report: @escaping @Sendable (IngestEvent) -> Void
  ) throws {}
  /// Starts the threads; lanes connect at once and stay warm.
  public func start() throws {}
  /// Serves `epoch` on `timeline`: answered by `.listening` or `.listenFailed`.
  public func activate(epoch: Int64, token: Int64, timeline: UInt32, operation: UInt64) {}
  /// Demotion. When it returns, nothing is acknowledged any more; the rest is answered by `.stopped`.
  public func stop(reason: String, operation: UInt64) {}
  /// Switchover: commits and acknowledges what was taken in, tells the clients; answered by `.drained`.
  public func drain(reason: String, deadline: BootInstant, operation: UInt64) {}
  public func snapshot() -> IngestSnapshot { IngestSnapshot() }
  /// Ends all threads and waits for them.
  public func shutDown() {}
}
