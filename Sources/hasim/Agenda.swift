// What is to happen when: the queue of a run, and the things in it that are not closures.

/// Something that happens at its time. What happens often is such an object, scheduled itself: a closure would be
/// allocated each time.
class Step {
  func happen() {}
}

enum Work {
  case run(() -> Void)
  case step(Step)
}

/// A calendar by time, then by order of adding: what is due soon lies sorted, what comes in the next seconds in a leaf for
/// every 8 ms, the rest waits for the calendar's next turn. The work stays in its slot; what is sorted are plain numbers.
struct Agenda {
  private struct Item {
    var at: Moment
    var order: Int
    var slot: Int
    func before(_ other: Item) -> Bool { at != other.at ? at < other.at : order < other.order }
  }
  private struct Slot {
    var item: Item
    /// The next slot of the same leaf, or -1.
    var next = -1
    var work: Work?
  }
  private static let leafBits: Moment = 23
  private static let leaves: Moment = 512

  /// What is due until the end of the present leaf, the latest first.
  private var soon: [Item] = []
  /// The first slot of each leaf, or -1.
  private var firsts = Array(repeating: -1, count: Int(Agenda.leaves))
  /// Beyond the leaves, in no order.
  private var later: [Item] = []
  private var slots: [Slot] = []
  private var free: [Int] = []
  private var added = 0
  private var count = 0
  /// The number of the present leaf, from the beginning of time.
  private var leaf: Moment = 0

  mutating func add(at: Moment, _ work: consuming Work) {
    added += 1
    count += 1
    var item = Item(at: at, order: added, slot: slots.count)
    if let place = free.popLast() {
      item.slot = place
      slots[place] = Slot(item: item, work: work)
    } else {
      slots.append(Slot(item: item, work: work))
    }
    file(item)
  }

  private mutating func file(_ item: Item) {
    let wanted = item.at >> Agenda.leafBits
    if wanted <= leaf { return sort(item) }
    guard wanted < leaf + Agenda.leaves else { return later.append(item) }
    let place = Int(wanted % Agenda.leaves)
    slots[item.slot].next = firsts[place]
    firsts[place] = item.slot
  }

  private mutating func sort(_ item: Item) {
    soon.append(item)
    var sorted = soon.mutableSpan
    var place = sorted.count - 1
    while place > 0, sorted[place - 1].before(item) {
      sorted[place] = sorted[place - 1]
      place -= 1
    }
    sorted[place] = item
  }

  /// Turns leaves until something is due.
  private mutating func turn() {
    while soon.isEmpty {
      leaf += 1
      if leaf % Agenda.leaves == 0 {
        let waiting = later
        later = []
        for item in waiting { file(item) }
      }
      let place = Int(leaf % Agenda.leaves)
      var slot = firsts[place]
      firsts[place] = -1
      while slot >= 0 {
        sort(slots[slot].item)
        slot = slots[slot].next
      }
    }
  }

  /// The next thing, if it is due until then.
  mutating func next(until end: Moment) -> (at: Moment, work: Work)? {
    guard count > 0 else { return nil }
    turn()
    guard let item = soon.last, item.at <= end else { return nil }
    soon.removeLast()
    free.append(item.slot)
    count -= 1
    guard let work = slots[item.slot].work.take() else { preconditionFailure("what is filed has its work") }
    return (item.at, work)
  }
}

/// The same work at a steady pace.
final class Recurrence: Step {
  private let world: World
  private let period: Moment
  private let work: () -> Bool

  init(world: World, period: Moment, work: @escaping () -> Bool) {
    self.world = world
    self.period = period
    self.work = work
  }
  override func happen() { if work() { world.after(period, self) } }
}

/// One timer that is moved about: an earlier time adds to the agenda, a later one waits for what is there already.
final class Alarm: Step {
  private let world: World
  private var wanted: Moment?
  private var armed: Moment?
  private let ring: () -> Void

  init(world: World, ring: @escaping () -> Void) {
    self.world = world
    self.ring = ring
  }

  func set(after delay: Moment) {
    let at = world.now + max(0, delay)
    wanted = at
    if let armed, armed <= at { return }
    armed = at
    world.after(at - world.now, self)
  }
  func clear() { wanted = nil }

  override func happen() {
    // Another time has been armed since: this item is what is left of a later one.
    guard armed == world.now else { return }
    armed = nil
    guard let wanted else { return }
    if wanted > world.now { return set(after: wanted - world.now) }
    self.wanted = nil
    ring()
  }
}
