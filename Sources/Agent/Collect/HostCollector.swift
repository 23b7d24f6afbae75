// Metrics of the host: what the files of /proc say, as gauges and as rates since the sample before.
internal import Platform
internal import Telemetry

/// The table in ha/AGENT.md names every metric.
struct HostCollector: ~Copyable {
  private let host: String
  private let app: String
  private let settings: HostSettings
  private let proc: String
  private var buffer = ReadBuffer()
  private var last: BootInstant?

  private var stat: ProcFile
  private var memory: ProcFile
  private var load: ProcFile
  private var uptime: ProcFile
  private var fileNumbers: ProcFile
  private var diskStats: ProcFile
  private var network: ProcFile
  private var mountInfo: ProcFile
  private var cpuPressure: ProcFile
  private var memoryPressure: ProcFile
  private var ioPressure: ProcFile

  private var cpu: CPUTimes?
  private var cores: [Int: (times: CPUTimes, labels: JSONObject)] = [:]
  private var contextSwitches: UInt64?
  private var forks: UInt64?
  private var pressure: [String: PressureFormat] = [:]
  private var disks = DeviceTable(key: "device")
  private var interfaces = DeviceTable(key: "interface")
  private let space = SpaceWatch()
  private var spaceDue = BootInstant(nanoseconds: 0)
  private var mountLabels: [Mount: JSONObject] = [:]

  /// `proc` is where /proc is mounted.
  init(_ settings: HostSettings, host: String, app: String, proc: String = "/proc") {
    (self.settings, self.host, self.app, self.proc) = (settings, host, app, proc)
    stat = ProcFile(proc + "/stat")
    memory = ProcFile(proc + "/meminfo")
    load = ProcFile(proc + "/loadavg")
    uptime = ProcFile(proc + "/uptime")
    fileNumbers = ProcFile(proc + "/sys/fs/file-nr")
    diskStats = ProcFile(proc + "/diskstats")
    network = ProcFile(proc + "/net/dev")
    mountInfo = ProcFile(proc + "/self/mountinfo")
    cpuPressure = ProcFile(proc + "/pressure/cpu")
    memoryPressure = ProcFile(proc + "/pressure/memory")
    ioPressure = ProcFile(proc + "/pressure/io")
  }

  /// Appends one sample; rates begin with the second one.
  mutating func collect(at now: SampleTime, into records: inout [Record]) {
    let writer = MetricWriter(host: host, app: app, time: now.time)
    let seconds = last.map { now.boot.milliseconds(since: $0) / 1000 }
    // Two samples at one moment have no rate between them.
    let elapsed = seconds.flatMap { $0 >= 0.001 ? $0 : nil }
    last = now.boot
    collectCPU(writer, elapsed, &records)
    collectMemory(writer, &records)
    collectLoad(writer, &records)
    collectPressure(writer, elapsed, &records)
    collectDisks(writer, elapsed, &records)
    collectNetwork(writer, elapsed, &records)
    collectSpace(writer, now.boot, &records)
  }

  // MARK: processor

  private mutating func collectCPU(_ writer: MetricWriter, _ elapsed: Double?, _ records: inout [Record]) {
    guard stat.read(into: &buffer) else { return }
    let sample = StatFormat(buffer.bytes, count: buffer.count)
    if let all = sample.all {
      if let cpu {
        HostCollector.addCPU("cpu.", Self.cpuNames, all, since: cpu, nil, true, writer, &records)
      }
      cpu = all
    }
    if settings.cores != .none {
      for (core, times) in sample.cores {
        let labels = cores[core]?.labels ?? label("core", "\(core)")
        if let before = cores[core]?.times {
          HostCollector.addCPU(
            "cpu.core.", Self.coreNames, times, since: before, labels, settings.cores == .modes, writer, &records)
        }
        cores[core] = (times, labels)
      }
    }
    if let elapsed {
      if let switches = growth(sample.contextSwitches, since: contextSwitches) {
        writer.add("system.context_switches", switches / elapsed, to: &records)
      }
      if let forked = growth(sample.forks, since: forks) {
        writer.add("processes.forks", forked / elapsed, to: &records)
      }
    }
    (contextSwitches, forks) = (sample.contextSwitches, sample.forks)
    writer.add("processes.running", sample.running, to: &records)
    writer.add("processes.blocked", sample.blocked, to: &records)
  }
  private static let cpuNames = CPUTimes.modes.map { "cpu." + $0 }
  private static let coreNames = CPUTimes.modes.map { "cpu.core." + $0 }

  /// Percent of the time by mode. The kernel lets idle and iowait go back a little: that is no time at all.
  private static func addCPU(
    _ prefix: String, _ names: [String], _ now: CPUTimes, since before: CPUTimes, _ labels: JSONObject?,
    _ hasModes: Bool, _ writer: MetricWriter, _ records: inout [Record]
  ) {
    let ticks = zip(now.ticks, before.ticks).map { growth($0, since: $1) ?? 0 }
    let total = ticks.reduce(0, +)
    guard total > 0 else { return }
    if hasModes {
      for (name, value) in zip(names, ticks) { writer.add(name, value * 100 / total, labels, to: &records) }
    }
    let idle = ticks[3] + ticks[4]
    writer.add(prefix + "busy", (total - idle) * 100 / total, labels, to: &records)
  }

  // MARK: memory, load, descriptors

  private mutating func collectMemory(_ writer: MetricWriter, _ records: inout [Record]) {
    guard memory.read(into: &buffer) else { return }
    let m = MemoryFormat(buffer.bytes, count: buffer.count)
    writer.add("memory.total", m.total, to: &records)
    writer.add("memory.free", m.free, to: &records)
    writer.add("memory.available", m.available, to: &records)
    writer.add("memory.buffers", m.buffers, to: &records)
    writer.add("memory.cached", m.cached, to: &records)
    writer.add("memory.shared", m.shared, to: &records)
    writer.add("memory.slab", m.slab, to: &records)
    writer.add("memory.dirty", m.dirty, to: &records)
    writer.add("memory.committed", m.committed, to: &records)
    if let total = m.total, let available = m.available, total > 0, available <= total {
      writer.add("memory.used", Double(total - available), to: &records)
      writer.add("memory.used_percent", Double(total - available) * 100 / Double(total), to: &records)
    }
    guard let total = m.swapTotal, let free = m.swapFree, free <= total else { return }
    writer.add("swap.total", total, to: &records)
    writer.add("swap.used", total - free, to: &records)
    if total > 0 { writer.add("swap.used_percent", Double(total - free) * 100 / Double(total), to: &records) }
  }

  private mutating func collectLoad(_ writer: MetricWriter, _ records: inout [Record]) {
    if load.read(into: &buffer) {
      let sample = LoadFormat(buffer.bytes, count: buffer.count)
      for (name, value) in zip(["load.1", "load.5", "load.15"], sample.loads) { writer.add(name, value, to: &records) }
      writer.add("threads.count", sample.threads, to: &records)
    }
    var processes = 0
    if forEachNumber(inFolder: proc, { _ in processes += 1 }) {
      writer.add("processes.count", Double(processes), to: &records)
    }
    if uptime.read(into: &buffer), let seconds = parseNumbers(buffer.bytes, count: buffer.count, most: 1).first {
      writer.add("uptime.seconds", seconds, to: &records)
    }
    guard fileNumbers.read(into: &buffer) else { return }
    let files = parseNumbers(buffer.bytes, count: buffer.count, most: 3)
    guard files.count == 3 else { return }
    writer.add("files.open", files[0] - files[1], to: &records)
    writer.add("files.max", files[2], to: &records)
    if files[2] > 0 { writer.add("files.used_percent", (files[0] - files[1]) * 100 / files[2], to: &records) }
  }

  private mutating func collectPressure(_ writer: MetricWriter, _ elapsed: Double?, _ records: inout [Record]) {
    if cpuPressure.read(into: &buffer) { addPressure("cpu", writer, elapsed, &records) }
    if memoryPressure.read(into: &buffer) { addPressure("memory", writer, elapsed, &records) }
    if ioPressure.read(into: &buffer) { addPressure("io", writer, elapsed, &records) }
  }
  /// Percent of the interval in which tasks waited.
  private mutating func addPressure(
    _ kind: String, _ writer: MetricWriter, _ elapsed: Double?, _ records: inout [Record]
  ) {
    let sample = PressureFormat(buffer.bytes, count: buffer.count)
    let before = pressure.updateValue(sample, forKey: kind)
    guard let before, let elapsed else { return }
    for (name, grown) in [
      ("some", growth(sample.some, since: before.some)), ("full", growth(sample.full, since: before.full)),
    ] {
      if let grown { writer.add("pressure.\(kind).\(name)", min(100, grown / elapsed / 10_000), to: &records) }
    }
  }

  // MARK: devices

  private mutating func collectDisks(_ writer: MetricWriter, _ elapsed: Double?, _ records: inout [Record]) {
    guard diskStats.read(into: &buffer) else { return }
    let ignored = settings.ignoreDisks
    disks.update(
      parseDiskStats(buffer.bytes, count: buffer.count),
      passesOver: { name in
        // A partition's traffic is in that of its disk.
        ignored.contains { globMatches($0, name) } || isFile("/sys/class/block/\(name)/partition")
      }
    ) { device, before, now in
      guard let elapsed else { return }
      func grown(_ index: Int) -> Double? { growth(now[index], since: before[index]) }
      func rate(_ name: String, _ index: Int, _ scale: Double) {
        if let value = grown(index) { writer.add(name, value * scale / elapsed, device.labels, to: &records) }
      }
      rate("disk.reads", 0, 1)
      rate("disk.writes", 4, 1)
      // A sector is 512 bytes here, whatever the disk says.
      rate("disk.read_bytes", 2, 512)
      rate("disk.write_bytes", 6, 512)
      if let count = grown(0), let time = grown(3), count > 0 {
        writer.add("disk.read_ms", time / count, device.labels, to: &records)
      }
      if let count = grown(4), let time = grown(7), count > 0 {
        writer.add("disk.write_ms", time / count, device.labels, to: &records)
      }
      if let busy = grown(9) { writer.add("disk.busy", min(100, busy / elapsed / 10), device.labels, to: &records) }
      rate("disk.queue", 10, 0.001)
    }
  }

  private static let networkNames = [
    "net.rx_bytes", "net.rx_packets", "net.rx_errors", "net.rx_drops", "net.tx_bytes", "net.tx_packets",
    "net.tx_errors", "net.tx_drops",
  ]
  private mutating func collectNetwork(_ writer: MetricWriter, _ elapsed: Double?, _ records: inout [Record]) {
    guard network.read(into: &buffer) else { return }
    let ignored = settings.ignoreInterfaces
    interfaces.update(
      parseNetworkDevices(buffer.bytes, count: buffer.count),
      passesOver: { name in ignored.contains { globMatches($0, name) } }
    ) { device, before, now in
      guard let elapsed else { return }
      for (index, name) in Self.networkNames.enumerated() {
        guard let grown = growth(now[index], since: before[index]) else { continue }
        writer.add(name, grown / elapsed, device.labels, to: &records)
      }
    }
  }

  private mutating func collectSpace(_ writer: MetricWriter, _ now: BootInstant, _ records: inout [Record]) {
    if now >= spaceDue, mountInfo.read(into: &buffer) {
      spaceDue = now.adding(milliseconds: settings.spaceMilliseconds)
      let mounts = parseMounts(buffer.bytes, count: buffer.count).filter { mount in
        !settings.ignoreMounts.contains { globMatches($0, mount.path) }
      }
      space.start(mounts, at: now)
    }
    guard let answers = space.answers() else { return }
    if mountLabels.count > 2 * Mount.greatestCount { mountLabels = [:] }
    for answer in answers {
      let labels = mountLabels[answer.mount] ?? mountLabel(answer.mount)
      mountLabels[answer.mount] = labels
      writer.add("filesystem.hung", answer.space == nil ? 1 : 0, labels, to: &records)
      guard let space = answer.space, space.totalBytes > 0 else { continue }
      let used = Double(space.totalBytes) - Double(space.freeBytes)
      writer.add("filesystem.total", space.totalBytes, labels, to: &records)
      writer.add("filesystem.available", space.availableBytes, labels, to: &records)
      writer.add("filesystem.used", used, labels, to: &records)
      // As df has it: reserved blocks are no space.
      let usable = used + Double(space.availableBytes)
      if usable > 0 { writer.add("filesystem.used_percent", used * 100 / usable, labels, to: &records) }
      guard space.inodes > 0, space.freeInodes <= space.inodes else { continue }
      writer.add("filesystem.inodes", space.inodes, labels, to: &records)
      writer.add("filesystem.inodes_used", space.inodes - space.freeInodes, labels, to: &records)
      writer.add(
        "filesystem.inodes_used_percent", Double(space.inodes - space.freeInodes) * 100 / Double(space.inodes),
        labels, to: &records)
    }
  }
  private func mountLabel(_ mount: Mount) -> JSONObject {
    var labels = JSONObject()
    labels.add("mount", mount.path)
    labels.add("device", mount.device)
    labels.add("type", mount.type)
    return labels
  }
}

private func isFile(_ path: String) -> Bool { fileIdentity(path) != nil }
