// What the kernel's text files say, as numbers: pure, and forgiving with what a newer kernel may write.
internal import Telemetry

/// Ticks of /proc/stat by mode, in the kernel's order; guest time is in user and nice already.
struct CPUTimes: Equatable {
  static let modes = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"]
  var ticks: [UInt64]
}

struct StatFormat: Equatable {
  var all: CPUTimes?
  var cores: [(core: Int, times: CPUTimes)] = []
  var contextSwitches: UInt64?
  var forks: UInt64?
  var running: UInt64?
  var blocked: UInt64?
  static let greatestCores = 4096

  init(_ bytes: [UInt8], count: Int) {
    var s = ByteScanner(bytes, count: count)
    while !s.isAtEnd {
      let name = s.word()
      if name.count >= 3, s.equals(name.lowerBound..<name.lowerBound + 3, "cpu") {
        var ticks: [UInt64] = []
        ticks.reserveCapacity(CPUTimes.modes.count)
        while ticks.count < CPUTimes.modes.count, let number = s.number() { ticks.append(number) }
        // Old kernels have no steal.
        let isWhole = ticks.count >= 4
        while ticks.count < CPUTimes.modes.count { ticks.append(0) }
        var id = ByteScanner(s.bytes[(name.lowerBound + 3)..<name.upperBound])
        if isWhole && id.isAtEnd { all = CPUTimes(ticks: ticks) }
        if isWhole, let core = id.number(), id.isAtEnd, core < UInt64(Self.greatestCores) {
          if cores.count < Self.greatestCores { cores.append((Int(core), CPUTimes(ticks: ticks))) }
        }
      } else if s.equals(name, "ctxt") {
        contextSwitches = s.number()
      } else if s.equals(name, "processes") {
        forks = s.number()
      } else if s.equals(name, "procs_running") {
        running = s.number()
      } else if s.equals(name, "procs_blocked") {
        blocked = s.number()
      }
      s.skipLine()
    }
  }
  static func == (a: StatFormat, b: StatFormat) -> Bool {
    a.all == b.all && a.cores.elementsEqual(b.cores, by: ==) && a.contextSwitches == b.contextSwitches
      && a.forks == b.forks && a.running == b.running && a.blocked == b.blocked
  }
}

/// /proc/meminfo in bytes.
struct MemoryFormat: Equatable {
  var total: UInt64?
  var free: UInt64?
  var available: UInt64?
  var buffers: UInt64?
  var cached: UInt64?
  var shared: UInt64?
  var slab: UInt64?
  var dirty: UInt64?
  var committed: UInt64?
  var swapTotal: UInt64?
  var swapFree: UInt64?

  init(_ bytes: [UInt8], count: Int) {
    var s = ByteScanner(bytes, count: count)
    while !s.isAtEnd {
      let name = s.word(until: UInt8(ascii: ":"))
      if s.take(UInt8(ascii: ":")), let field = Self.field(s, name), let number = s.number() {
        let (value, overflow) = number.multipliedReportingOverflow(by: 1024)
        if !overflow { self[keyPath: field] = value }
      }
      s.skipLine()
    }
  }
  private static func field(_ s: ByteScanner, _ name: Range<Int>) -> WritableKeyPath<MemoryFormat, UInt64?>? {
    if s.equals(name, "MemTotal") { return \.total }
    if s.equals(name, "MemFree") { return \.free }
    if s.equals(name, "MemAvailable") { return \.available }
    if s.equals(name, "Buffers") { return \.buffers }
    if s.equals(name, "Cached") { return \.cached }
    if s.equals(name, "Shmem") { return \.shared }
    if s.equals(name, "Slab") { return \.slab }
    if s.equals(name, "Dirty") { return \.dirty }
    if s.equals(name, "Committed_AS") { return \.committed }
    if s.equals(name, "SwapTotal") { return \.swapTotal }
    if s.equals(name, "SwapFree") { return \.swapFree }
    return nil
  }
}

/// /proc/loadavg: `0.52 0.58 0.59 2/345 6789`; entities of the scheduler are threads.
struct LoadFormat: Equatable {
  var loads: [Double] = []
  var threads: UInt64?
  init(_ bytes: [UInt8], count: Int) {
    var s = ByteScanner(bytes, count: count)
    while loads.count < 3, let load = s.decimal() { loads.append(load) }
    if loads.count == 3, s.number() != nil, s.take(UInt8(ascii: "/")) { threads = s.number() }
  }
}

/// Counters of a named device, as /proc/diskstats and /proc/net/dev have them.
struct DeviceCounters: Equatable {
  var name: String
  var values: [UInt64]
  static let greatestCount = 1000
}

/// /proc/diskstats, from the third field on (Documentation/admin-guide/iostats.rst): reads, reads merged, sectors read,
/// ms reading, writes, writes merged, sectors written, ms writing, in flight, ms busy, weighted ms.
func parseDiskStats(_ bytes: [UInt8], count: Int) -> [DeviceCounters] {
  var s = ByteScanner(bytes, count: count)
  var found: [DeviceCounters] = []
  while !s.isAtEnd && found.count < DeviceCounters.greatestCount {
    if s.number() != nil, s.number() != nil {
      let name = s.word()
      var values: [UInt64] = []
      values.reserveCapacity(11)
      while values.count < 11, let number = s.number() { values.append(number) }
      // Loop and RAM disks that nobody uses are most of what there is.
      if values.count == 11, !name.isEmpty, name.count <= 64, values.contains(where: { $0 != 0 }) {
        found.append(DeviceCounters(name: s.text(name), values: values))
      }
    }
    s.skipLine()
  }
  return found
}

/// /proc/net/dev: received bytes, packets, errors, drops; sent bytes, packets, errors, drops.
func parseNetworkDevices(_ bytes: [UInt8], count: Int) -> [DeviceCounters] {
  var s = ByteScanner(bytes, count: count)
  var found: [DeviceCounters] = []
  while !s.isAtEnd && found.count < DeviceCounters.greatestCount {
    let name = s.word(until: UInt8(ascii: ":"))
    if !name.isEmpty, name.count <= 64, s.take(UInt8(ascii: ":")) {
      var values: [UInt64] = []
      values.reserveCapacity(16)
      while values.count < 16, let number = s.number() { values.append(number) }
      if values.count == 16 {
        found.append(DeviceCounters(name: s.text(name), values: Array(values[0..<4] + values[8..<12])))
      }
    }
    s.skipLine()
  }
  return found
}

/// /proc/pressure/*: µs that some, or all, tasks waited.
struct PressureFormat: Equatable {
  var some: UInt64?
  var full: UInt64?
  init(_ bytes: [UInt8], count: Int) {
    var s = ByteScanner(bytes, count: count)
    while !s.isAtEnd {
      let name = s.word()
      for _ in 0..<8 {
        let key = s.word(until: UInt8(ascii: "="))
        if key.isEmpty { break }
        let isTotal = s.equals(key, "total")
        guard s.take(UInt8(ascii: "=")) else { break }
        if isTotal {
          let total = s.number()
          if s.equals(name, "some") { some = total }
          if s.equals(name, "full") { full = total }
          break
        }
        _ = s.word()
      }
      s.skipLine()
    }
  }
}

/// The first `count` numbers of a file that has nothing else: /proc/uptime, /proc/sys/fs/file-nr.
func parseNumbers(_ bytes: [UInt8], count: Int, most: Int) -> [Double] {
  var s = ByteScanner(bytes, count: count)
  var found: [Double] = []
  while found.count < most, let number = s.decimal() { found.append(number) }
  return found
}

/// A mounted file system that has space of its own.
struct Mount: Equatable, Hashable {
  var path: String
  var device: String
  var type: String
  static let greatestCount = 500
  /// Types with space worth watching; `/` counts whatever its type.
  static let types: Set<String> = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "vfat", "exfat", "ntfs",
    "ntfs3", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "gfs2",
    "ocfs2", "lustre", "9p", "virtiofs",
  ]
}

/// /proc/self/mountinfo (proc_pid_mountinfo(5)); of several mounts of one file system the one with the shortest path.
func parseMounts(_ bytes: [UInt8], count: Int) -> [Mount] {
  var s = ByteScanner(bytes, count: count)
  var found: [String: Mount] = [:]
  while !s.isAtEnd && found.count < Mount.greatestCount {
    _ = (s.word(), s.word())
    let number = s.text(s.word())
    _ = s.word()
    let path = unescaped(s, s.word())
    _ = s.word()
    // Optional fields, then a lone dash.
    var isDashed = false
    for _ in 0..<32 {
      let field = s.word()
      if field.isEmpty { break }
      if s.equals(field, "-") {
        isDashed = true
        break
      }
    }
    let type = s.text(s.word())
    let device = unescaped(s, s.word())
    s.skipLine()
    guard isDashed, path.hasPrefix("/"), path.utf8.count <= 1024, device.utf8.count <= 1024 else { continue }
    guard Mount.types.contains(type) || path == "/" else { continue }
    if let other = found[number], other.path.utf8.count <= path.utf8.count { continue }
    found[number] = Mount(path: path, device: device, type: type)
  }
  return found.values.sorted { $0.path < $1.path }
}
/// `\040` and the like are bytes.
private func unescaped(_ s: ByteScanner, _ range: Range<Int>) -> String {
  var plain: [UInt8] = []
  var at = range.lowerBound
  while at < range.upperBound {
    if s.bytes[at] == UInt8(ascii: "\\"), at + 3 < range.upperBound {
      let digits = s.bytes[(at + 1)...(at + 3)].map { $0 &- 48 }
      if digits.allSatisfy({ $0 < 8 }), digits[0] < 4 {
        plain.append(digits[0] << 6 | digits[1] << 3 | digits[2])
        at += 4
        continue
      }
    }
    plain.append(s.bytes[at])
    at += 1
  }
  return String(decoding: plain, as: UTF8.self)
}
