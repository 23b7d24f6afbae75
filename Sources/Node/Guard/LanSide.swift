// The guard on the LAN: announces what it holds, asks before it claims, hears who else claims it.
internal import Platform

/// One packet socket an address, open for as long as its interface is there. Frames are sent from the guard's own loop,
/// outside the helpers' queue: four microseconds each, never blocking.
struct LanSide: ~Copyable {
  /// A probe in progress.
  private struct Probe {
    var operation: UInt64
    var asked: Int
    var start: BootInstant
  }
  enum ProbeEnd: Equatable {
    case silent(operation: UInt64)
    case answered(operation: UInt64, index: UInt8, hardware: HardwareAddress)
    case failed(operation: UInt64, GuardFailure)
  }
  struct Claimant: Equatable {
    var index: UInt8
    var hardware: HardwareAddress
  }
  private static let questions = 3
  private static let questionMilliseconds: Int64 = 25
  private static let probeMilliseconds: Int64 = 75

  private let configured: [ServiceAddresses.Configured]
  private let sockets: LanSockets
  private var schedule: AnnouncementSchedule?
  private var probe: Probe?
  private var reported: [BootInstant]
  /// Claimed again since it was contradicted last, within the second: contradicted when that is over. Whoever was misled
  /// by a claimant that is gone since would keep its hardware address for as long as its kernel likes.
  private var owed: [Bool]

  init(_ configured: [ServiceAddresses.Configured]) {
    self.configured = configured
    sockets = LanSockets(configured)
    reported = configured.map { _ in BootInstant(nanoseconds: 0) }
    owed = configured.map { _ in false }
  }

  var descriptors: [Int32] { sockets.descriptors }
  var isAnnouncing: Bool { schedule != nil }
  var next: BootInstant? {
    let question = probe.map { probe in
      let wait = probe.asked < Self.questions ? Int64(probe.asked) * Self.questionMilliseconds : Self.probeMilliseconds
      return probe.start.adding(milliseconds: wait)
    }
    let contradiction = configured.indices.filter { owed[$0] }.map { reported[$0] }.min()
    return [schedule?.next, question, contradiction].compactMap { $0 }.min()
  }

  /// Adopts the interfaces as they are now.
  mutating func refresh(_ links: [LinkStatus]) { sockets.refresh(links) }

  mutating func startAnnouncing(now: BootInstant) { schedule = AnnouncementSchedule(start: now) }
  /// Before every release: an old holder's late announcement would take the address from the new one.
  mutating func stopAnnouncing() {
    schedule = nil
    owed = configured.map { _ in false }
  }

  /// Begins to ask for all addresses; a probe that still runs has failed.
  mutating func startProbe(_ operation: UInt64, now: BootInstant) -> ProbeEnd? {
    let old = probe.map { ProbeEnd.failed(operation: $0.operation, GuardFailure(.superseded)) }
    // What waits was said before the question.
    for index in configured.indices { _ = sockets.claimants(index) }
    probe = Probe(operation: operation, asked: 0, start: now)
    return old
  }

  /// Does what is due: announcements and questions. Returns the end of a probe.
  mutating func tick(now: BootInstant) -> ProbeEnd? {
    if schedule?.isDue(now: now) == true {
      for index in configured.indices {
        sockets.announce(index)
        // The kernel of another holder does not answer an announcement, but it answers a question.
        _ = sockets.ask(index)
      }
    }
    for index in configured.indices where owed[index] && now >= reported[index] { contradict(index, now) }
    guard var current = probe else { return nil }
    if current.asked < Self.questions {
      let due = current.start.adding(milliseconds: Int64(current.asked) * Self.questionMilliseconds)
      guard now >= due else { return nil }
      current.asked += 1
      probe = current
      for index in configured.indices {
        if let failure = sockets.ask(index) {
          probe = nil
          return .failed(operation: current.operation, failure)
        }
      }
      return nil
    }
    guard now >= current.start.adding(milliseconds: Self.probeMilliseconds) else { return nil }
    probe = nil
    return .silent(operation: current.operation)
  }

  /// Takes in what others claimed: ends a probe, and while the addresses are held reports them, once a second each.
  mutating func listen(held: Bool, now: BootInstant) -> (end: ProbeEnd?, duplicates: [Claimant]) {
    var end: ProbeEnd?
    var duplicates: [Claimant] = []
    for index in configured.indices {
      let others = sockets.claimants(index)
      guard let other = others.first else { continue }
      if let current = probe, current.asked > 0 {
        end = .answered(operation: current.operation, index: UInt8(index), hardware: other)
        probe = nil
      }
      guard held else { continue }
      guard now >= reported[index] else {
        owed[index] = isAnnouncing
        continue
      }
      duplicates.append(Claimant(index: UInt8(index), hardware: other))
      contradict(index, now)
    }
    return (end, duplicates)
  }
  /// PostgreSQL gave the address to this node: whoever was misled hears it again.
  private mutating func contradict(_ index: Int, _ now: BootInstant) {
    reported[index] = now.adding(milliseconds: 1000)
    owed[index] = false
    if isAnnouncing { sockets.announce(index) }
  }
}

/// The packet sockets, by address; nil where the interface is missing or not Ethernet.
private final class LanSockets {
  private struct Entry: ~Copyable {
    var socket: LanSocket?
    var link: LinkStatus?
  }
  private final class Slot {
    var entry = Entry(socket: nil, link: nil)
  }
  private let configured: [ServiceAddresses.Configured]
  private let slots: [Slot]
  /// The hardware addresses of this host. With two interfaces on one LAN its kernel answers on the other as well.
  private var own: Set<HardwareAddress> = []

  init(_ configured: [ServiceAddresses.Configured]) {
    self.configured = configured
    slots = configured.map { _ in Slot() }
  }
  var descriptors: [Int32] { slots.compactMap { $0.entry.socket?.descriptor } }

  func refresh(_ links: [LinkStatus]) {
    own = Set(links.compactMap(\.hardware))
    for (entry, slot) in zip(configured, slots) {
      let link = links.first { $0.name == entry.interface }
      if let link, let known = slot.entry.link, known.index == link.index, known.hardware == link.hardware {
        slot.entry.link = link
        continue
      }
      slot.entry = Entry(socket: nil, link: link)
      guard let link, link.hardware != nil else { continue }
      do {
        slot.entry.socket = try LanSocket(entry.address, on: link)
      } catch {
        log(.error, "cannot announce or probe", ["address": "\(entry.address)", "reason": "\(error)"])
      }
    }
  }

  func announce(_ index: Int) {
    do {
      try slots[index].entry.socket?.announce()
    } catch {
      log(.warning, "announcement not sent", ["address": "\(configured[index].address)", "reason": "\(error)"])
    }
  }
  /// Nil when the question is on its way, and where there is nobody to ask: an interface without a LAN.
  func ask(_ index: Int) -> GuardFailure? {
    guard let link = slots[index].entry.link else { return GuardFailure(.interfaceMissing) }
    guard link.isUp else { return GuardFailure(.carrierDown) }
    do {
      try slots[index].entry.socket?.ask()
      return nil
    } catch {
      return GuardFailure(.kernel, detail: error.code)
    }
  }
  func claimants(_ index: Int) -> [HardwareAddress] {
    (slots[index].entry.socket?.claimants() ?? []).filter { !own.contains($0) }
  }
}
