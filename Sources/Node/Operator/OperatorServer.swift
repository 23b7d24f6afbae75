// The control socket: JSON lines over a unix socket, for root, the node's own user and the socket's group.
public import Platform

/// Serves `hactl` from a thread of its own. Every client has at most one request in hand, so that memory is bounded
/// by the number of clients; a client beyond the bound is told so and closed.
public final class OperatorServer: Sendable {
  /// Bounds; each protects the node from a client that is broken or hostile.
  public struct Limits: Sendable {
    public var clients = 32
    /// Requests in the node's hands, those of clients that left included.
    public var outstanding = 64
    public var lineBytes = OperatorRequest.longestLine
    /// A client that neither completes a line nor takes its answer for this long is closed.
    public var idleMilliseconds: Int64 = 60_000
    public init() {}
  }
  public typealias Answer = @Sendable (OperatorReply) -> Void

  private let path: String
  private let stopping: Mailbox<Bool>
  private let thread: Guarded<RoleThread?>

  /// Listens on `path` (mode 0660; a stale socket there is replaced). `handle` is called on the server's thread and
  /// must not block; it answers once, from any thread, at once or later. `status` is called for every status request.
  public init(
    path: String, limits: Limits = Limits(), status: @escaping @Sendable () -> NodeStatus,
    handle: @escaping @Sendable (OperatorRequest, @escaping Answer) -> Void
  ) throws(SystemError) {
    guard let address = SocketAddress(unixPath: path) else {
      throw SystemError(call: "bind \(path): longer than 107 bytes", code: 36)
    }
    try removeFile(path)
    let listener = try listenStream(address, backlog: 64)
    try setFileMode(path, 0o660)
    let group = try fileStatus(path).group
    self.path = path
    let stopping = try Mailbox<Bool>(capacity: 1)
    self.stopping = stopping
    let answers = try Mailbox<OperatorLoop.Answered>(capacity: limits.outstanding)
    let poller = try Poller(batch: 64)
    var loop = OperatorLoop(
      listener: listener, poller: poller, group: group, limits: limits, stopping: stopping, answers: answers,
      status: status, handle: handle)
    try loop.watch()
    let start = Guarded<OperatorLoop?>(loop)
    let running = try RoleThread(name: "operator") {
      guard var loop = start.withLock({ $0.take() }) else { return }
      loop.run()
    }
    thread = Guarded(running)
  }

  /// Closes every client, removes the socket and waits for the thread. Calling it twice is as good as once.
  public func stop() {
    stopping.close()
    guard let running = thread.withLock({ $0.take() }) else { return }
    running.join()
    // Gone already, or the folder is: the next start replaces what is left.
    try? removeFile(path)
  }
}

/// Who may use the socket: root, the node's own user, members of the socket's group. The kernel asks the same of the
/// file's mode; this closes the moment between the socket's making and the setting of its mode.
func mayOperate(_ credentials: (process: Int32, user: Int32, group: Int32), socketGroup: UInt32) -> Bool {
  if credentials.user == 0 || credentials.user == Int32(bitPattern: effectiveUser()) { return true }
  if UInt32(bitPattern: credentials.group) == socketGroup { return true }
  // Further groups are not in SO_PEERCRED, and another user's process can't be looked at in a hardened unit.
  return isMember(user: UInt32(bitPattern: credentials.user), of: socketGroup)
}
