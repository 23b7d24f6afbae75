// Which processes belong to a watch: by name or arguments from a scan of /proc, by pid file, by cgroup.
internal import Platform
internal import Telemetry

/// Finds the processes of watches. A process is known by pid and start time: a pid that is used again is another one.
struct ProcessTable {
  private let proc: String
  private let cgroups: String
  private var buffer = ReadBuffer()
  /// By pid: start time, and the indices of the watches that it matched when it was looked at last.
  private var known: [Int32: (start: UInt64, matches: [Int], lookedAt: BootInstant)] = [:]
  private var folders: [String: String] = [:]
  private var foldersMissed: [String: BootInstant] = [:]

  static let greatestProcesses = 100_000
  /// A process that is younger may not have called exec yet, nor given itself its name.
  static let youngSeconds: UInt64 = 10
  static let lookAgainMilliseconds = 60_000.0

  init(proc: String, cgroups: String) { (self.proc, self.cgroups) = (proc, cgroups) }

  mutating func status(_ pid: Int32) -> ProcessFormat? {
    // Ended: an answer.
    guard let file = try? openFile("\(proc)/\(pid)/stat"), buffer.fill(from: file.raw, limit: 4096) else { return nil }
    return ProcessFormat(buffer.bytes, count: buffer.count)
  }
  private mutating func arguments(_ pid: Int32) -> [UInt8] {
    // Ended: no arguments.
    guard let file = try? openFile("\(proc)/\(pid)/cmdline"), buffer.fillOnce(from: file.raw, offset: 0) > 0 else {
      return []
    }
    return Array(buffer.bytes[..<min(buffer.count, 4096)])
  }

  // MARK: by name

  /// Looks at all processes that are new, young, or have not been looked at for a minute; the pids of each watch.
  mutating func scan(_ watches: [ProcessWatch.Way], at now: BootInstant) -> [[Int32]] {
    var pids: [Int32] = []
    guard forEachNumber(inFolder: proc, { if pids.count < Self.greatestProcesses { pids.append($0) } }) else {
      return watches.map { _ in [] }
    }
    let ticks = UInt64(clockTicks())
    let uptime = UInt64(max(0, now.nanoseconds)) / 1_000_000_000 * ticks
    var found = watches.map { _ in [Int32]() }
    var next: [Int32: (start: UInt64, matches: [Int], lookedAt: BootInstant)] = [:]
    next.reserveCapacity(pids.count)
    for pid in pids {
      var entry = known[pid]
      if let old = entry {
        let isYoung = old.start + Self.youngSeconds * ticks > uptime
        if isYoung || now.milliseconds(since: old.lookedAt) > Self.lookAgainMilliseconds { entry = nil }
      }
      if entry == nil, let status = status(pid) {
        entry = (status.start, matches(pid, status, watches), now)
      }
      guard let entry else { continue }
      next[pid] = entry
      for index in entry.matches { found[index].append(pid) }
    }
    known = next
    return found
  }

  private mutating func matches(_ pid: Int32, _ status: ProcessFormat, _ watches: [ProcessWatch.Way]) -> [Int] {
    var found: [Int] = []
    var words: [UInt8]?
    for (index, watch) in watches.enumerated() {
      switch watch {
      case .name(let name):
        let wanted = Array(name.utf8)
        if isGlob(name) ? globMatches(wanted, status.name) : wanted == status.name {
          found.append(index)
        } else if wanted.count > 15, status.name.elementsEqual(wanted.prefix(15)) {
          // The kernel keeps 15 bytes; the program's own path has them all.
          let all = words ?? arguments(pid)
          words = all
          let program = all.prefix { $0 != 0 }
          if program.suffix(from: (program.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1).elementsEqual(wanted) {
            found.append(index)
          }
        }
      case .commandLine(let pattern):
        let all = words ?? arguments(pid)
        words = all
        if !all.isEmpty, globMatches(Array(pattern.utf8), commandLine(all)) { found.append(index) }
      case .pidFile, .unit: break
      }
    }
    return found
  }

  // MARK: by pid file

  /// The process that a pid file names. One that started after the file was written has only got its pid.
  mutating func process(pidFile path: String, at now: SampleTime) -> [Int32] {
    // Not there: not running.
    guard let file = try? openFile(path), let identity = fileIdentity(file.raw), identity.isRegular,
      buffer.fillOnce(from: file.raw, offset: 0) > 0
    else { return [] }
    var scanner = ByteScanner(buffer.bytes, count: min(buffer.count, 64))
    guard let number = scanner.number(), let pid = Int32(exactly: number), pid > 0, let status = status(pid) else {
      return []
    }
    let age = now.boot.nanoseconds / 1_000_000 - milliseconds(ofTicks: status.start)
    let started = now.time / 1000 - age
    let written = identity.modified / 1_000_000 - microsecondsFrom1970To2000 / 1000
    // Clocks are set a little now and then.
    return started > written + 5000 ? [] : [pid]
  }

  // MARK: by unit

  /// The processes of a unit's control group and of those below it.
  mutating func processes(unit: String, at now: BootInstant) -> [Int32] {
    if let folder = folders[unit] {
      if let pids = pids(below: folder) { return pids }
      folders[unit] = nil
    }
    // Looking everywhere is dear: not more often than each ten seconds.
    let mayWalk = foldersMissed[unit].map { now.milliseconds(since: $0) > 10_000 } ?? true
    guard let folder = locate(unit, mayWalk: mayWalk) else {
      if mayWalk { foldersMissed[unit] = now }
      return []
    }
    folders[unit] = folder
    foldersMissed[unit] = nil
    return pids(below: folder) ?? []
  }
  private func locate(_ unit: String, mayWalk: Bool) -> String? {
    // The one hierarchy; with the old ones beside it; systemd's own old one.
    let roots = [cgroups, cgroups + "/unified", cgroups + "/systemd"]
    for root in roots where isFolder("\(root)/system.slice/\(unit)") { return "\(root)/system.slice/\(unit)" }
    guard mayWalk else { return nil }
    for root in roots {
      var queue = [(root, 0)]
      var looked = 0
      while looked < queue.count, looked < 5000 {
        let (folder, depth) = queue[looked]
        looked += 1
        // Gone meanwhile, or not ours to read.
        guard depth < 6, let names = try? namesInFolder(folder, limit: 5000) else { continue }
        for name in names where name == unit || name.hasSuffix(".slice") || name.hasSuffix(".service") {
          let path = "\(folder)/\(name)"
          guard isFolder(path) else { continue }
          if name == unit { return path }
          queue.append((path, depth + 1))
        }
      }
    }
    return nil
  }
  /// Nil when the group is gone.
  private mutating func pids(below folder: String) -> [Int32]? {
    var found: [Int32] = []
    var queue = [folder]
    var at = 0
    while at < queue.count && at < 100 {
      let here = queue[at]
      at += 1
      guard let file = try? openFile(here + "/cgroup.procs"), buffer.fill(from: file.raw) else {  // gone
        if here == folder { return nil }
        continue
      }
      var scanner = ByteScanner(buffer.bytes, count: buffer.count)
      while !scanner.isAtEnd, found.count < 10_000 {
        if let number = scanner.number(), let pid = Int32(exactly: number), pid > 0 { found.append(pid) }
        scanner.skipLine()
      }
      // Gone meanwhile: nothing below it.
      for name in (try? namesInFolder(here, limit: 1000)) ?? [] where isFolder("\(here)/\(name)") {
        queue.append("\(here)/\(name)")
      }
    }
    return found
  }
}

/// Clock ticks since the system started as milliseconds.
func milliseconds(ofTicks ticks: UInt64) -> Int64 {
  let hertz = UInt64(clockTicks())
  let (seconds, rest) = ticks.quotientAndRemainder(dividingBy: hertz)
  return Int64(clamping: min(seconds, UInt64(Int64.max) / 2000) * 1000 + rest * 1000 / hertz)
}
