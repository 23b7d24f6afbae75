// The one lock: a value behind a pthread mutex with priority inheritance.
//
// Not `Synchronization.Mutex`: that one calls futex itself, which the thread sanitizer cannot see.
internal import Glibc

/// `@unchecked Sendable` is sound: `state` is reachable only inside `withLock`, which holds the mutex.
@safe public final class Guarded<State: ~Copyable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var state: State

  public init(_ state: consuming sending State) {
    unsafe mutex = .allocate(capacity: 1)
    self.state = state
    var attributes = pthread_mutexattr_t()
    unsafe pthread_mutexattr_init(&attributes)
    unsafe pthread_mutexattr_setprotocol(&attributes, Int32(PTHREAD_PRIO_INHERIT))
    unsafe pthread_mutex_init(mutex, &attributes)
    unsafe pthread_mutexattr_destroy(&attributes)
  }
  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }
  /// Runs `body` alone. Not re-entrant: a nested call on the same value deadlocks.
  public func withLock<R: ~Copyable, E: Error>(_ body: (inout State) throws(E) -> R) throws(E) -> R {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body(&state)
  }
}
