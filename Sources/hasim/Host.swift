// One host: its clock, its kernel with the service IP, and the life and death of guard and worker.

import Election

final class Host {
  enum HelperMood: CaseIterable { case fine, slow, hangs, fails, answersLate }

  let world: World
  let index: Int
  let name: ShortName
  let cluster: Cluster
  // The boot clock runs up to 5 % fast or slow and can stand still while the machine is paused.
  private var bootOffset: Int64
  private let partsPerMillion: Int64
  /// Only for the planted wall-clock lease: somebody sets the clock.
  var wallOffset: Int64 = 0
  private let wallClock: Bool
  /// Only for the planted clock that stands still in a suspended machine.
  private var slept: Int64 = 0

  private(set) var powered = false
  private(set) var paused = false
  private var pausedAt: Moment = 0
  private(set) var unpausedAt: Moment = -60 * second
  private var clockStops = false
  private(set) var worker: Worker?
  private(set) var guardProcess: Guard?
  private var guardStopped = false
  private var incarnations: Int64 = 0
  /// When a fault of this host last ended or began.
  private(set) var disturbedAt: Moment = 0
  var helperMood = HelperMood.fine
  var localFault: LocalFault?

  private(set) var addressPresent = false
  private(set) var addressSince: Moment = 0
  private var addressExpiry: Moment = 0
  private var expiry: Alarm?

  init(world: World, index: Int, name: ShortName, cluster: Cluster) {
    self.world = world
    self.index = index
    self.name = name
    self.cluster = cluster
    wallClock = world.has(.wallClockLease)
    bootOffset = world.random.milliseconds(1_000...1_000_000)
    partsPerMillion = Int64(world.random.int(-50_000...50_000))
    expiry = Alarm(world: world) { [unowned self] in
      guard addressPresent, runs else { return }
      removeAddress("lifetime over")
      guardProcess?.noticesLoss()
    }
  }

  func disturbed() { disturbedAt = world.now }

  // MARK: Clocks

  /// What `CLOCK_BOOTTIME` shows.
  var boot: Int64 {
    let now = paused && clockStops ? pausedAt : world.now
    return bootOffset + now / 1_000_000 * (1_000_000 + partsPerMillion) + now % 1_000_000
      * (1_000_000 + partsPerMillion) / 1_000_000
  }
  /// What the core is told.
  var clock: Instant {
    Instant(nanoseconds: max(0, wallClock ? boot + wallOffset : boot - slept))
  }
  /// True time until the core's clock shows that.
  func wait(until instant: Instant) -> Moment {
    let local = instant.nanoseconds - clock.nanoseconds
    guard local > 0 else { return 0 }
    guard local < 3_600 * second else { return 3_600 * second }
    return local / (1_000_000 + partsPerMillion) * 1_000_000 + 1_000_000
  }

  // MARK: Power and processes

  func powerUp() {
    guard !powered else { return }
    disturbed()
    powered = true
    world.trace(name.text, "powers up")
    startGuard(after: world.random.milliseconds(1...50))
  }

  func powerDown() {
    guard powered else { return }
    disturbed()
    world.trace(name.text, "crashes")
    powered = false
    paused = false
    clockStops = false
    addressPresent = false
    expiry?.clear()
    guardProcess?.end()
    guardProcess = nil
    worker?.die(sayGoodbye: false)
    worker = nil
    bootOffset -= boot - 1_000_000_000
    slept = 0
    cluster.network.cutDatabase(index, requests: false, answers: false)
    cluster.serverNoticesLoss(of: self)
  }

  private func startGuard(after delay: Moment) {
    world.after(delay) { [self] in
      guard powered, guardProcess == nil else { return }
      guardStopped = false
      guardProcess = Guard(host: self)
      // The sweep: whatever a former guard left behind.
      removeAddress("sweep")
      startWorker(after: world.random.milliseconds(5...100))
    }
  }

  func startWorker(after delay: Moment) {
    world.after(delay) { [self] in
      guard powered, guardProcess != nil, worker == nil else { return }
      // A guard that is stopped starts nobody.
      if guardStopped { return startWorker(after: 20 * millisecond) }
      incarnations += 1
      disturbed()
      let born = Worker(host: self, incarnation: incarnations * 1_000 + Int64(index) + 1)
      worker = born
      if paused { born.freeze() }
      born.start()
    }
  }

  func killWorker(_ why: String) {
    guard let worker else { return }
    disturbed()
    world.trace(name.text, "worker dies: \(why)")
    self.worker = nil
    worker.die(sayGoodbye: true)
    guardProcess?.workerDied()
  }

  func killAll() {
    guard powered else { return }
    disturbed()
    guardProcess?.end()
    guardProcess = nil
    killWorker("killed with its guard")
    startGuard(after: world.random.milliseconds(500...4_000))
  }

  func stop(guardToo: Bool) {
    disturbed()
    world.trace(name.text, guardToo ? "guard and worker stopped" : "worker stopped")
    worker?.stop()
    if guardToo { guardStopped = true }
  }

  func resume() {
    disturbed()
    world.trace(name.text, "resumed")
    guardStopped = false
    worker?.resume()
    guardProcess?.look()
  }

  func pause(clockStops: Bool) {
    guard powered, !paused else { return }
    disturbed()
    world.trace(name.text, clockStops ? "machine paused, clock stands" : "machine paused")
    pausedAt = world.now
    self.clockStops = clockStops
    paused = true
    worker?.freeze()
    cluster.network.cutDatabase(index, requests: true, answers: true)
  }

  func unpause() {
    guard powered, paused else { return }
    disturbed()
    let length = world.now - pausedAt
    if world.has(.monotonicLease), !clockStops { slept += length / 1_000_000 * (1_000_000 + partsPerMillion) }
    if clockStops { bootOffset -= length / 1_000_000 * (1_000_000 + partsPerMillion) }
    paused = false
    unpausedAt = world.now
    world.trace(name.text, "machine resumed after \(length / millisecond) ms")
    cluster.network.cutDatabase(index, requests: false, answers: false)
    if addressPresent {
      addressExpiry += length
      watchExpiry()
    }
    worker?.thaw()
    guardProcess?.look()
  }

  var guardRuns: Bool { powered && !paused && !guardStopped && guardProcess != nil }
  /// A process of the host can run at all.
  var runs: Bool { powered && !paused }

  /// The run is over.
  func forget() {
    worker?.forget()
    worker = nil
    guardProcess?.end()
    guardProcess = nil
  }

  // MARK: The service IP in the kernel

  /// Whether an ARP question from `other` is answered.
  func answers(_ other: Host) -> Bool { addressPresent && runs && cluster.network.answers(other.index, index) }

  func addAddress(lifetime: Int64) {
    if !addressPresent {
      addressPresent = true
      addressSince = world.now
      cluster.checks.claimed(by: self)
      world.trace(name.text, "holds the service IP")
    }
    prolong(lifetime)
  }

  func renewAddress(lifetime: Int64) -> Bool {
    guard addressPresent else { return false }
    prolong(lifetime)
    return true
  }

  private func prolong(_ lifetime: Int64) {
    let slop = world.random.chance(0.1) ? world.random.milliseconds(400...1_000) : world.random.milliseconds(50...400)
    addressExpiry = world.now + lifetime / (1_000_000 + partsPerMillion) * 1_000_000 + slop
    watchExpiry()
  }

  private func watchExpiry() {
    if !world.has(.addressWithoutLifetime) { expiry?.set(after: addressExpiry - world.now) }
  }

  func removeAddress(_ why: String) {
    guard addressPresent else { return }
    addressPresent = false
    expiry?.clear()
    world.trace(name.text, "service IP removed: \(why)")
  }

  func administratorRemovesAddress() {
    guard addressPresent, runs else { return }
    disturbed()
    removeAddress("administrator")
    guardProcess?.noticesLoss()
  }
}
