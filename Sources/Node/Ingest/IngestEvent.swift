// What the intake tells the control thread.
public import Platform

/// Reported from the intake's own threads; the receiver only posts it on.
public enum IngestEvent: Sendable, Equatable {
  /// All listeners of this activation are open.
  case listening(operation: UInt64, at: BootInstant)
  /// A listener could not be opened; none is open.
  case listenFailed(operation: UInt64, reason: String)
  /// Lanes are aborted, listeners and connections closed.
  case stopped(operation: UInt64)
  /// `complete`: everything that was taken in is committed and acknowledged.
  case drained(operation: UInt64, complete: Bool)
  /// The first records of an epoch have committed.
  case firstCommit(epoch: Int64, at: BootInstant)
  /// `ha.check` refused this epoch: a newer one exists. Nothing more is written.
  case fenced(epoch: Int64)
  /// A lane's server is on another timeline than the lease session's.
  case timelineChanged(lane: Int, timeline: UInt32?)
  /// This many lanes have a session; reported when it becomes all of them.
  case lanesReady(Int)
  /// A lane lost its session or was refused for no fault of a record; it goes on trying.
  case laneFailed(lane: Int, reason: String)
}
