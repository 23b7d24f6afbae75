// The worker's end of the channel to its guard.
public import Platform

/// Never blocks. Used by the control thread, which also polls `descriptor`.
public final class GuardClient: Sendable {
  private let channel: SequencedChannel
  private let closed = Guarded(false)
  /// Readable when a reply waits or the guard is gone.
  public var descriptor: Int32 { channel.descriptor }
  /// The guard is gone: nobody renews or removes the addresses but the kernel. The worker steps down and exits.
  public var isClosed: Bool { closed.withLock { $0 } }

  public init(_ channel: consuming SequencedChannel) { self.channel = channel }

  /// False when the guard did not take it: it is gone, or has not read for a long time. No reply will come then.
  @discardableResult public func send(_ request: GuardRequest) -> Bool {
    switch channel.send(request.encoded(sent: .now())) {
    case .sent: return true
    case .full: return false
    case .closed:
      closed.withLock { $0 = true }
      return false
    }
  }

  /// The next reply; nil when none waits (or `isClosed`).
  public func receive() -> GuardReply? {
    switch channel.receive() {
    case .message(let bytes):
      // The guard is the same program: anything else is our bug.
      guard let reply = GuardReply.decoded(bytes) else { preconditionFailure("not a message of the guard") }
      return reply
    case .nothing: return nil
    case .closed:
      closed.withLock { $0 = true }
      return nil
    }
  }
}
