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

/// A binary heap by time, then by order of adding. What is moved about are plain numbers; the work stays in its slot.
struct Agenda {
  private struct Item {
    var at: Moment
    var order: Int
    var slot: Int
    func before(_ other: Item) -> Bool { at != other.at ? at < other.at : order < other.order }
  }
  private var items: [Item] = []
  private var slots: [Work?] = []
  private var free: [Int] = []
  private var added = 0

  var nextAt: Moment? { items.first?.at }

  mutating func add(at: Moment, _ work: consuming Work) {
    added += 1
    let slot: Int
    if let place = free.popLast() {
      slot = place
      slots[place] = work
    } else {
      slot = slots.count
      slots.append(work)
    }
    let item = Item(at: at, order: added, slot: slot)
    items.append(item)
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard item.before(items[parent]) else { break }
      items[child] = items[parent]
      child = parent
    }
    items[child] = item
  }

  mutating func next() -> Work? {
    guard let first = items.first, let last = items.popLast() else { return nil }
    if !items.isEmpty {
      var parent = 0
      while true {
        var child = 2 * parent + 1
        guard child < items.count else { break }
        if child + 1 < items.count, items[child + 1].before(items[child]) { child += 1 }
        guard items[child].before(last) else { break }
        items[parent] = items[child]
        parent = child
      }
      items[parent] = last
    }
    var work: Work?
    swap(&work, &slots[first.slot])
    free.append(first.slot)
    return work
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
