// The acknowledgement gate: what is asked at the moment of sending.
internal import Platform

/// Open for one epoch or closed. A client is sent something only while it is open, so that nothing is acknowledged once
/// `close` has returned.
final class Gate: Sendable {
  private let epoch = Guarded<Int64?>(nil)
  /// The same for those who only ask: they may do so within `whileOpen`, and never wait for a send.
  private let shown = Guarded(false)

  func open(_ epoch: Int64) {
    self.epoch.withLock { $0 = epoch }
    shown.withLock { $0 = true }
  }
  var isOpen: Bool { shown.withLock { $0 } }
  /// Waits for a send that is under way.
  func close() {
    shown.withLock { $0 = false }
    epoch.withLock { $0 = nil }
  }
  /// Runs `body` while the gate can't be closed; nil when it isn't open for `epoch`.
  func whileOpen<R>(_ epoch: Int64, _ body: () -> R) -> R? {
    self.epoch.withLock { $0 == epoch ? body() : nil }
  }
}
