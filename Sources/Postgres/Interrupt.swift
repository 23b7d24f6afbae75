// A flag that ends another thread's wait for PostgreSQL.
public import Platform

/// Raised by one thread, seen by every wait of the connections it was given to. Stays raised until `clear`.
public final class Interrupt: Sendable {
  private let mailbox: Mailbox<Bool>
  var descriptor: Int32 { mailbox.descriptor }

  public init() throws(SystemError) { mailbox = try Mailbox(capacity: 1) }
  /// Ends the waits. Raising twice is as good as once.
  public func raise() { mailbox.post(true) }
  /// Only the thread that waits may clear.
  public func clear() { _ = mailbox.takeAll() }
  public var isRaised: Bool { !wait(descriptor, for: .read, until: BootInstant(nanoseconds: 0)).isEmpty }
}
