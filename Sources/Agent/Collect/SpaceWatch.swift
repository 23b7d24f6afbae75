// Space and inodes of mounted file systems, asked for where a server that is gone can hang nobody else.
internal import Platform
internal import Telemetry

/// Asks all mounts one after the other on a thread of its own. A mount that does not answer within the patience is
/// passed over until it does; the thread that asked it waits for it alone.
final class SpaceWatch: Sendable {
  struct Answer: Sendable, Equatable {
    var mount: Mount
    /// Nil: it does not answer.
    var space: FileSystemSpace?
  }
  private struct State {
    /// Threads of an older round end as soon as they can.
    var round = 0
    var asking: Mount?
    var askingSince = BootInstant(nanoseconds: 0)
    var isDone = true
    var isTold = true
    var answers: [Answer] = []
    var hung: Set<String> = []
  }
  private let state = Guarded(State())
  private let patienceMilliseconds: Int64
  private let ask: @Sendable (String) -> FileSystemSpace?
  static let greatestHung = 16

  init(
    patienceMilliseconds: Int64 = 5000,
    ask: @escaping @Sendable (String) -> FileSystemSpace? = { try? fileSystemSpace($0) }  // gone meanwhile: no answer
  ) {
    self.patienceMilliseconds = patienceMilliseconds
    self.ask = ask
  }

  /// Starts a round, unless one goes on that is not hung.
  func start(_ mounts: [Mount], at now: BootInstant) {
    let round = state.withLock { state -> Int? in
      if !state.isDone {
        guard let mount = state.asking, now.milliseconds(since: state.askingSince) > Double(patienceMilliseconds),
          state.hung.count < Self.greatestHung
        else { return nil }
        state.hung.insert(mount.path)
        log(.warning, "a file system does not answer", ["mount": mount.path, "type": mount.type])
      }
      state.round += 1
      (state.isDone, state.isTold, state.answers) = (false, false, [])
      (state.asking, state.askingSince) = (nil, now)
      return state.round
    }
    guard let round else { return }
    do throws(SystemError) {
      try RoleThread(name: "space") { [self] in run(mounts, round) }.detach()
    } catch {
      log(.warning, "no thread to ask file systems", ["reason": "\(error)"])
      state.withLock { $0.isDone = true }
    }
  }

  private func run(_ mounts: [Mount], _ round: Int) {
    for mount in mounts {
      let mayAsk = state.withLock { state -> Bool? in
        guard state.round == round else { return nil }
        if state.hung.contains(mount.path) {
          state.answers.append(Answer(mount: mount, space: nil))
          return false
        }
        (state.asking, state.askingSince) = (mount, .now())
        return true
      }
      guard let mayAsk else { return }
      if !mayAsk { continue }
      let space = ask(mount.path)
      let isMine = state.withLock { state -> Bool in
        guard state.round == round else {
          // Given up on, and here after all.
          state.hung.remove(mount.path)
          return false
        }
        state.asking = nil
        if let space { state.answers.append(Answer(mount: mount, space: space)) }
        return true
      }
      if !isMine { return }
    }
    state.withLock { if $0.round == round { $0.isDone = true } }
  }

  /// The answers of a round that ended, once; waits for them for `patience` at most.
  func answers(waitMilliseconds: Int64 = 10) -> [Answer]? {
    for left in (0...max(0, waitMilliseconds)).reversed() {
      let found = state.withLock { state -> [Answer]? in
        guard state.isDone, !state.isTold else { return nil }
        state.isTold = true
        return state.answers
      }
      if let found { return found }
      if left == 0 || state.withLock({ $0.isDone }) { return nil }
      sleep(until: .after(milliseconds: 1))
    }
    return nil
  }
}
