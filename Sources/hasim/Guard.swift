// The guard of one host: carries out the worker's requests about the service IP, and watches the worker.

import Election

final class Guard {
  private let host: Host
  private let world: World
  private var ended = false
  private var queue: [(id: OperationID, command: AddressCommand, deadline: Instant, worker: Worker)] = []
  /// Grows when a request is killed.
  private var generation = 0
  private var working = false
  private var restartPause: Moment = 50 * millisecond
  private var watch: Alarm?

  init(host: Host) {
    self.host = host
    world = host.world
    watch = Alarm(world: world) { [self] in
      look()
      watchSilence()
    }
    watchSilence()
  }

  func end() {
    ended = true
    watch = nil
  }

  // MARK: Watching the worker

  /// It looks every 50 ms. Looks at a worker that is not silent change nothing and are left out.
  func watchSilence() {
    guard !ended, host.worker?.silentSince != nil else { return }
    watch?.set(after: 50 * millisecond - world.now % (50 * millisecond))
  }

  /// A worker that is silent for 600 ms counts as dead; some sites let the guard end it, some only take the address.
  func look() {
    guard !ended, host.guardRuns, let worker = host.worker, let since = worker.silentSince else { return }
    guard world.now - since >= 600 * millisecond else { return }
    if host.addressPresent {
      host.removeAddress("worker silent")
      worker.report(.addressLost, by: .guardProcess)
    }
    generation += 1
    working = false
    queue = []
    if host.cluster.guardEndsSilentWorkers { host.killWorker("silent, ended by its guard") }
  }

  func workerDied() {
    guard !ended else { return }
    generation += 1
    working = false
    queue = []
    world.after(800_000) { [self] in if host.guardRuns, host.worker == nil { host.removeAddress("worker died") } }
    host.startWorker(after: restartPause)
    restartPause = min(restartPause * 2, second)
  }

  // MARK: Requests

  func request(_ id: OperationID, _ command: AddressCommand, deadline: Instant, from worker: Worker) {
    guard !ended else { return }
    if command == .release {
      // Kill and reap what runs, remove, verify.
      generation += 1
      working = false
      queue = []
      return whenRunning { [self] in
        let fails = host.helperMood == .fails && world.random.chance(0.5)
        if !fails { host.removeAddress("released") }
        answer(
          id, fails && host.addressPresent && !world.has(.releaseNotVerified) ? .stillPresent : .released, to: worker,
          after: world.random.microseconds(100...800))
      }
    }
    queue.append((id, command, deadline, worker))
    next()
  }

  /// A stopped guard does nothing until it is resumed.
  private func whenRunning(_ work: @escaping () -> Void) {
    if ended { return }
    if host.guardRuns { return work() }
    world.after(20 * millisecond) { [self] in whenRunning(work) }
  }

  private func next() {
    guard !working, !queue.isEmpty else { return }
    working = true
    let generation = generation
    let (id, command, deadline, worker) = queue.removeFirst()
    let done = { [self] (result: AddressResult, delay: Moment) in
      guard generation == self.generation else { return }
      working = false
      answer(id, result, to: worker, after: delay)
      next()
    }
    whenRunning { [self] in
      guard generation == self.generation else { return }
      // A guard that was stopped must not do now what was right then.
      guard host.clock <= deadline || world.has(.lateClaim) else { return done(.failed("too late"), 0) }
      switch command {
      case .probe(let span): probe(span.nanoseconds, generation: generation) { done($0, 0) }
      case .claim(let lifetime): claim(lifetime.nanoseconds, deadline, generation: generation, done)
      case .renew(let lifetime):
        world.after(world.random.microseconds(8...100)) { [self] in
          guard generation == self.generation else { return }
          let fails = host.helperMood == .fails
          done(!fails && host.renewAddress(lifetime: lifetime.nanoseconds) ? .renewed : .failed("not there"), 0)
        }
      case .release: done(.released, 0)
      }
    }
  }

  private func answer(_ id: OperationID, _ result: AddressResult, to worker: Worker, after delay: Moment) {
    let generation = generation
    world.after(delay) { [self] in
      // Verified when it is told; only who has given the claim up gets an answer that is not true any more.
      let isGone = result == .claimed && generation == self.generation && !host.addressPresent
      worker.report(.addressAnswered(id, isGone ? .failed("not there") : result), by: .guardProcess)
    }
  }

  /// The address is gone, and nobody asked for it.
  func noticesLoss() {
    whenRunning { [self] in host.worker?.report(.addressLost, by: .guardProcess) }
  }

  /// Five questions over the span.
  private func probe(_ span: Int64, generation: Int, _ done: @escaping (AddressResult) -> Void) {
    let hosts = host.cluster.hosts
    for question in 0..<5 {
      world.after(span / 5 * Int64(question)) { [self] in
        guard generation == self.generation, host.guardRuns else { return }
        if let other = hosts.first(where: { $0 !== host && $0.answers(host) }) { done(.answered(other.name.text)) }
      }
    }
    world.after(span) { [self] in whenRunning { done(.silent) } }
  }

  private func claim(
    _ lifetime: Int64, _ deadline: Instant, generation: Int, _ done: @escaping (AddressResult, Moment) -> Void
  ) {
    func add(after delay: Moment, answerAfter late: Moment) {
      world.after(delay) { [self] in
        whenRunning {
          guard generation == self.generation, self.host.clock <= deadline || self.world.has(.lateClaim) else { return }
          self.host.addAddress(lifetime: lifetime)
          done(.claimed, late)
        }
      }
    }
    switch host.helperMood {
    case .fine: add(after: world.random.milliseconds(1...8), answerAfter: 0)
    case .slow: add(after: world.random.milliseconds(50...350), answerAfter: 0)
    case .answersLate:
      add(after: world.random.milliseconds(1...50), answerAfter: world.random.milliseconds(500...2_500))
    case .fails: world.after(5 * millisecond) { done(.failed("helper failed"), 0) }
    case .hangs:
      world.after(400 * millisecond) { [self] in
        guard generation == self.generation else { return }
        host.removeAddress("helper killed at its deadline")
        done(.failed("helper killed at its deadline"), 0)
      }
    }
  }
}
