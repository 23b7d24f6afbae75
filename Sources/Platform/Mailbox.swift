// A bounded queue into one role's thread, with an eventfd that wakes its poll.
internal import CLinux
internal import Glibc

/// Many threads post, one thread takes. Holds at most `capacity` messages; the poster learns when it is full.
public final class Mailbox<Message: Sendable>: Sendable {
  private struct State {
    var messages: [Message] = []
    var closed = false
  }
  private let state: Guarded<State>
  private let capacity: Int
  private let wakeup: Descriptor
  /// Readable while messages wait.
  public var descriptor: Int32 { wakeup.raw }

  public init(capacity: Int) throws(SystemError) {
    precondition(capacity > 0)
    self.capacity = capacity
    let raw = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    guard raw >= 0 else { throw .last("eventfd") }
    wakeup = Descriptor(owning: raw)
    state = Guarded(State())
  }

  public enum PostResult: Equatable, Sendable { case posted, full, closed }

  @discardableResult public func post(_ message: Message) -> PostResult {
    let (result, wake): (PostResult, Bool) = state.withLock { state in
      if state.closed { return (.closed, false) }
      if state.messages.count >= capacity { return (.full, false) }
      state.messages.append(message)
      return (.posted, state.messages.count == 1)
    }
    if wake { signal() }
    return result
  }

  /// Everything posted so far, in order; empty when nothing waits.
  public func takeAll() -> [Message] {
    var count: UInt64 = 0
    _ = unsafe read(descriptor, &count, 8)
    return state.withLock { state in
      let taken = state.messages
      state.messages = []
      return taken
    }
  }

  /// Refuses further messages and wakes the taker.
  public func close() {
    state.withLock { $0.closed = true }
    signal()
  }
  public var isClosed: Bool { state.withLock { $0.closed } }

  private func signal() {
    var one: UInt64 = 1
    _ = unsafe write(descriptor, &one, 8)
  }
}
