// Watched processes as records: state, pid, up time, restarts, processor, memory, threads.
internal import Platform
internal import Telemetry

/// One record for each watch and sample. Where several processes belong to a watch, pid, state and up time are those of
/// the first one (the oldest whose parent does not belong), and the other values are sums.
struct ProcessCollector {
  private struct Member {
    var start: UInt64
    var ticks: UInt64
  }
  private struct Watched {
    let watch: ProcessWatch
    var members: [Int32: Member] = [:]
    var main: (pid: Int32, start: UInt64)?
    var restarts: Int64 = 0
  }
  private let host: String
  private let app: String
  private var watched: [Watched]
  private var table: ProcessTable
  /// Indices of the watches that need the scan of /proc, what they look for, and what was found.
  private let scanned: [Int]
  private let ways: [ProcessWatch.Way]
  private var found: [[Int32]] = []
  private var scanDue = BootInstant(nanoseconds: 0)
  private var scannedAt: BootInstant?
  private var last: BootInstant?
  private let page = pageBytes()
  static let scanMilliseconds: Int64 = 5000

  init(
    _ watches: [ProcessWatch], host: String, app: String, proc: String = "/proc", cgroups: String = "/sys/fs/cgroup"
  ) {
    (self.host, self.app) = (host, app)
    watched = watches.map { Watched(watch: $0) }
    table = ProcessTable(proc: proc, cgroups: cgroups)
    scanned = watches.indices.filter {
      switch watches[$0].way {
      case .name, .commandLine: true
      case .pidFile, .unit: false
      }
    }
    ways = scanned.map { watches[$0].way }
  }

  mutating func collect(at now: SampleTime, into records: inout [Record]) {
    let elapsed = last.map { now.boot.milliseconds(since: $0) / 1000 }
    let before = last
    last = now.boot
    let misses = scanned.contains { watched[$0].main == nil }
    if !scanned.isEmpty && (now.boot >= scanDue || misses) { rescan(now.boot) }
    for index in watched.indices {
      var pids = pids(of: index, at: now)
      var members = self.members(pids)
      if let main = watched[index].main, scanned.contains(index),
        !members.contains(where: { $0.0 == main.pid && $0.1.start == main.start })
      {
        // The one we knew is gone: who is there instead?
        rescan(now.boot)
        pids = self.pids(of: index, at: now)
        members = self.members(pids)
      }
      records.append(
        Record(
          time: now.time, host: host, app: app,
          .process(report(index, members, now.boot, before: before, elapsed: elapsed))))
    }
  }

  /// Once a sample at most.
  private mutating func rescan(_ now: BootInstant) {
    if scannedAt == now { return }
    scannedAt = now
    found = table.scan(ways, at: now)
    scanDue = now.adding(milliseconds: Self.scanMilliseconds)
  }
  private mutating func pids(of index: Int, at now: SampleTime) -> [Int32] {
    switch watched[index].watch.way {
    case .name, .commandLine:
      guard let place = scanned.firstIndex(of: index), place < found.count else { return [] }
      return found[place]
    case .pidFile(let path): return table.process(pidFile: path, at: now)
    case .unit(let unit): return table.processes(unit: unit, at: now.boot)
    }
  }
  private mutating func members(_ pids: [Int32]) -> [(Int32, ProcessFormat)] {
    var members: [(Int32, ProcessFormat)] = []
    for pid in pids { if let status = table.status(pid) { members.append((pid, status)) } }
    return members
  }

  private mutating func report(
    _ index: Int, _ members: [(Int32, ProcessFormat)], _ now: BootInstant, before: BootInstant?, elapsed: Double?
  ) -> Record.Process {
    let old = watched[index]
    let pids = Set(members.map(\.0))
    let main = (members.filter { !pids.contains($0.1.parent) }).min(by: isOlder) ?? members.min(by: isOlder)
    var process = Record.Process(process: old.watch.process, state: main?.1.state ?? "absent")
    if let main {
      if let known = old.main, known != (main.0, main.1.start) { watched[index].restarts += 1 }
      // Who was seen once and is away is kept: coming back with another pid is a restart.
      watched[index].main = (main.0, main.1.start)
      process.pid = Int64(main.0)
      process.upMilliseconds = max(0, now.nanoseconds / 1_000_000 - milliseconds(ofTicks: main.1.start))
      process.threads = members.reduce(0) { $0 &+ $1.1.threads }
      let pages = members.reduce(UInt64(0)) { $0 &+ $1.1.residentPages }
      process.memory = Int64(clamping: pages.multipliedReportingOverflow(by: UInt64(page)).partialValue)
      process.cpu = percent(members, old.members, before, elapsed)
    }
    process.restarts = watched[index].restarts
    watched[index].members = Dictionary(
      members.map { ($0.0, Member(start: $0.1.start, ticks: $0.1.ticks)) }, uniquingKeysWith: { $1 })
    if members.count > 1 {
      var attributes = JSONObject()
      attributes.add("processes", Int64(members.count))
      process.attributes = attributes
    }
    return process
  }
  private func isOlder(_ a: (Int32, ProcessFormat), _ b: (Int32, ProcessFormat)) -> Bool {
    (a.1.start, a.0) < (b.1.start, b.0)
  }

  /// Of one core, since the sample before; a process that began meanwhile counts from its beginning.
  private func percent(
    _ members: [(Int32, ProcessFormat)], _ old: [Int32: Member], _ before: BootInstant?, _ elapsed: Double?
  ) -> Double? {
    guard let before, let elapsed, elapsed > 0.001 else { return nil }
    var ticks = 0.0
    for (pid, status) in members {
      if let known = old[pid], known.start == status.start {
        ticks += growth(status.ticks, since: known.ticks) ?? 0
      } else if milliseconds(ofTicks: status.start) >= before.nanoseconds / 1_000_000 {
        ticks += Double(status.ticks)
      }
    }
    return ticks * 100 / Double(clockTicks()) / elapsed
  }
}
