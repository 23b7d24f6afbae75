// What NOTIFY told a session that listens.
internal import CPostgres

extension Connection {
  /// How many notifications came since the last call, of all channels; reads what is there and never waits. A session that
  /// listens has to call this: they are kept until then.
  public mutating func takeNotifications() -> Int {
    var count = 0
    _ = unsafe PQconsumeInput(handle)
    // Sound: each notification is ours, and freed once.
    while let notification = unsafe PQnotifies(handle) {
      unsafe PQfreemem(notification)
      count += 1
    }
    return count
  }
}
