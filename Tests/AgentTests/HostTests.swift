// Metrics of the host: the kernel's texts, hostile ones, and the running kernel asked in another way.
@testable import Agent
import Platform
import Telemetry
import Testing

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Values of one sample by name and labels.
private func values(_ records: [Record]) -> [String: Double] {
  var found: [String: Double] = [:]
  for record in records {
    guard case .metric(let metric) = record.body else { continue }
    let labels = metric.labels.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    found[metric.name + labels] = metric.value
  }
  return found
}

private let stat = """
  cpu  100 10 50 800 30 4 5 1 7 0
  cpu0 60 5 25 400 10 2 3 1 7 0
  cpu1 40 5 25 400 20 2 2 0 0 0
  intr 17797176 0 0 0
  ctxt 5000
  btime 1795165200
  processes 70
  procs_running 3
  procs_blocked 1
  """

@Test func `the kernel's own texts are read as numbers`() {
  let s = StatFormat(bytes(stat), count: stat.utf8.count)
  #expect(s.all?.ticks == [100, 10, 50, 800, 30, 4, 5, 1])
  #expect(s.cores.map(\.core) == [0, 1] && s.cores[1].times.ticks == [40, 5, 25, 400, 20, 2, 2, 0])
  #expect(s.contextSwitches == 5000 && s.forks == 70 && s.running == 3 && s.blocked == 1)
  let memory = bytes(
    "MemTotal:       24682504 kB\nMemFree: 1 kB\nHugePages_Total:       0\nSwapTotal:  8 kB\nSwapFree: 2 kB\n")
  let m = MemoryFormat(memory, count: memory.count)
  #expect(m.total == 24_682_504 * 1024 && m.free == 1024 && m.swapTotal == 8192 && m.swapFree == 2048)
  #expect(m.available == nil)
  let load = LoadFormat(bytes("4.60 2.33 1.07 3/127 10121\n"), count: 27)
  #expect(load.loads == [4.6, 2.33, 1.07] && load.threads == 127)
  let disks = bytes(
    "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
  )
  #expect(parseDiskStats(disks, count: disks.count) == [DeviceCounters(name: "vda", values: Array(1...11))])
  let network = bytes(
    "Inter-|   Receive  |  Transmit\n face |bytes    packets\n    lo: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n eth0:9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0"
  )
  #expect(
    parseNetworkDevices(network, count: network.count) == [
      DeviceCounters(name: "lo", values: Array(1...8)),
      DeviceCounters(name: "eth0", values: Array(repeating: 9, count: 8)),
    ])
  let pressure = bytes(
    "some avg10=0.17 avg60=0.71 avg300=0.46 total=4688676015\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n")
  let p = PressureFormat(pressure, count: pressure.count)
  #expect(p.some == 4_688_676_015 && p.full == 7)
  let mounts = bytes(
    #"""
    22 27 0:21 / /proc rw,relatime - proc proc rw
    27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
    30 27 254:0 /x /srv/bind rw,relatime - ext4 /dev/vda rw
    31 27 0:40 / /mnt/with\040blank rw - nfs4 server:/a\134b rw
    32 27 0:41 / /tmp rw - tmpfs tmpfs rw
    """#)
  #expect(
    parseMounts(mounts, count: mounts.count) == [
      Mount(path: "/", device: "/dev/vda", type: "ext4"),
      Mount(path: "/mnt/with blank", device: #"server:/a\b"#, type: "nfs4"),
    ])
}

@Test func `texts that no kernel would write are read as far as they make sense, and never trap`() {
  let texts = [
    "", "\n", " ", "cpu", "cpu ", "cpu 1", "cpu 1 2 3", "cpu  -1 2 3 4", "cpu99999999999999999999 1 2 3 4",
    "cpu5000 1 2 3 4 5", "cpu0x 1 2 3 4", "cpu 18446744073709551616 1 1 1", "ctxt", "ctxt x", "MemTotal:", "MemTotal",
    "MemTotal: 18446744073709551615 kB", ":", "::", "1 2", "1 2 sda", "1 2 sda 1 2 3", "a b c d", "eth0:", "eth0: 1",
    ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", "some", "some total", "some total=", "some =1 total=2", "1.2.3 4",
    "99999999999999999 1 1 1/1", "0.1 0.2 0.3 1/", "0.1 0.2 0.3 /2", "1 2 3:4 / / rw", "1 2 3:4 / / rw -",
    "1 2 3:4 / / rw - ext4", #"1 2 3:4 / /\0 rw - ext4 /dev/x rw"#, #"1 2 3:4 / /\777 rw - ext4 /dev/x rw"#,
    "1 (a) R", "1 () R 1", "1 (a)) R 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", ")(", "1 (a R 1", "\u{0}\u{0}", "é",
  ]
  var inputs = texts.map(bytes)
  var random = SeededRandom(state: 20_261_120)
  for _ in 0..<2000 {
    var mutated = bytes(stat)
    for _ in 0..<5 {
      mutated[Int.random(in: 0..<mutated.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    inputs.append(mutated)
  }
  for input in inputs {
    for count in [input.count, input.count / 2, input.count + 100, -1] {
      let s = StatFormat(input, count: count)
      #expect(s.cores.allSatisfy { $0.core < StatFormat.greatestCores && $0.times.ticks.count == 8 })
      _ = MemoryFormat(input, count: count)
      #expect(LoadFormat(input, count: count).loads.count <= 3)
      #expect(parseDiskStats(input, count: count).allSatisfy { $0.values.count == 11 })
      #expect(parseNetworkDevices(input, count: count).allSatisfy { $0.values.count == 8 })
      _ = PressureFormat(input, count: count)
      #expect(parseMounts(input, count: count).allSatisfy { $0.path.hasPrefix("/") })
      _ = ProcessFormat(input, count: count)
    }
  }
  #expect(MemoryFormat(bytes("MemTotal: 18446744073709551615 kB"), count: 33).total == nil)
  let many = bytes((0..<3000).map { " e\($0): 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n" }.joined())
  #expect(parseNetworkDevices(many, count: many.count).count == DeviceCounters.greatestCount)
}

/// A /proc of our own, whose files a test rewrites.
private struct FakeProc {
  let path: String
  init() throws {
    path = "/tmp/sw-proc-\(randomBytes(8).map { String($0, radix: 16) }.joined())"
    for folder in ["", "/net", "/sys", "/sys/fs", "/self", "/pressure", "/7", "/8"] {
      _ = try runCommand("/bin/mkdir", [path + folder], deadline: .after(milliseconds: 60_000))
    }
  }
  /// In place, as the kernel does: whoever has the file open reads the new text.
  func write(_ name: String, _ text: String) throws {
    _ = try runCommand("/usr/bin/tee", ["\(path)/\(name)"], input: text, deadline: .after(milliseconds: 60_000))
  }
  func remove() throws { _ = try runCommand("/bin/rm", ["-r", path], deadline: .after(milliseconds: 60_000)) }
}

@Test func `rates are growth by time, and counters that wrap or are reset give none`() throws {
  let proc = try FakeProc()
  defer { try? proc.remove() }  // leaves a folder behind at worst
  var host = HostCollector(HostSettings(), host: "h", app: "a", proc: proc.path)
  var clock = BootInstant(nanoseconds: 1_000_000_000_000)
  func sample(_ network: Int, _ busy: Int, _ pressure: Int) throws -> [String: Double] {
    try proc.write("net/dev", "a|b\nc|d\n eth0: \(network) 10 0 0 0 0 0 0 5 5 0 0 0 0 0 0\n")
    try proc.write("diskstats", "8 0 sda \(busy) 0 \(busy * 8) \(busy * 3) 0 0 0 0 2 \(busy * 10) \(busy * 20)\n")
    try proc.write("pressure/io", "some avg10=0 avg60=0 avg300=0 total=\(pressure)\n")
    try proc.write("stat", "cpu 0 0 \(busy) \(1000 - busy) 0 0 0 0\ncpu0 0 0 \(busy) \(1000 - busy) 0 0 0 0\n")
    var records: [Record] = []
    host.collect(at: SampleTime(boot: clock, time: 0), into: &records)
    clock = clock.adding(milliseconds: 2000)
    return values(records)
  }
  let eth = #"{"interface":"eth0"}"#
  let sda = #"{"device":"sda"}"#
  let first = try sample(1000, 100, 0)
  #expect(first["net.rx_bytes" + eth] == nil && first["cpu.busy"] == nil && first["processes.count"] == 2)
  let second = try sample(5000, 200, 500_000)
  #expect(second["net.rx_bytes" + eth] == 2000 && second["net.rx_packets" + eth] == 0)
  #expect(second["disk.reads" + sda] == 50 && second["disk.read_bytes" + sda] == 50 * 8 * 512)
  #expect(second["disk.read_ms" + sda] == 3 && second["disk.write_ms" + sda] == nil)
  #expect(second["disk.busy" + sda] == 50 && second["disk.queue" + sda] == 1)
  #expect(second["pressure.io.some"] == 25)
  // Idle went back: what is left is all busy.
  #expect(second["cpu.busy"] == 100 && second[#"cpu.core.system{"core":"0"}"#] == 100)
  let wrapped = try sample(3, 1, 1)
  for name in ["net.rx_bytes" + eth, "disk.reads" + sda, "disk.busy" + sda, "pressure.io.some"] {
    #expect(wrapped[name] == nil, "\(name)")
  }
  #expect(wrapped["net.rx_packets" + eth] == 0)
  let after = try sample(5, 2, 2)
  #expect(after["net.rx_bytes" + eth] == 1)
}

@Test func `an interface that goes and comes back begins anew, and files that vanish leave the others`() throws {
  let proc = try FakeProc()
  defer { try? proc.remove() }  // leaves a folder behind at worst
  var host = HostCollector(HostSettings(), host: "h", app: "a", proc: proc.path)
  var clock = BootInstant(nanoseconds: 1_000_000_000_000)
  func sample(_ names: [String], _ count: Int) throws -> [String: Double] {
    let lines = names.map { " \($0): \(count) 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n" }.joined()
    try proc.write("net/dev", "a|b\nc|d\n" + lines)
    var records: [Record] = []
    host.collect(at: SampleTime(boot: clock, time: 0), into: &records)
    clock = clock.adding(milliseconds: 1000)
    return values(records)
  }
  let usb = #"net.rx_bytes{"interface":"usb0"}"#
  _ = try sample(["usb0", "lo", "veth1"], 10)
  let all = try sample(["usb0", "lo", "veth1"], 20)
  #expect(all[usb] == 10 && all.count == 1 + 8, "lo and veth are ignored")
  #expect(try sample([], 0)[usb] == nil)
  #expect(try sample(["usb0"], 1_000_000)[usb] == nil)
  #expect(try sample(["usb0"], 1_000_100)[usb] == 100)
}

@Test func `what the running kernel says is what other programs read there`() throws {
  var host = HostCollector(HostSettings(), host: "h", app: "a")
  var first: [Record] = []
  host.collect(at: .now(), into: &first)
  sleep(until: .after(milliseconds: 300))
  var records: [Record] = []
  host.collect(at: .now(), into: &records)
  let found = values(records)
  // Who asks the filesystems is another thread, which a busy machine lets wait.
  let deadline = BootInstant.after(milliseconds: 60_000)
  func isRoot(_ key: String) -> Bool { key.hasPrefix("filesystem.total") && key.contains(#""mount":"/""#) }
  while !values(first).keys.contains(where: isRoot), BootInstant.now() < deadline {
    sleep(until: .after(milliseconds: 300))
    host.collect(at: .now(), into: &first)
  }
  let space = values(first)
  func run(_ program: String, _ arguments: [String]) throws -> [[String]] {
    let path = try #require(findProgram(program))
    return try runCommand(path, arguments, deadline: .after(milliseconds: 60_000)).output.split(separator: "\n")
      .map { $0.split(separator: " ").map(String.init) }
  }
  let free = try run("free", ["-b"])
  #expect(found["memory.total"] == Double(free[1][1]))
  let available = try #require(Double(free[1][6]))
  #expect(abs((found["memory.available"] ?? 0) - available) < 0.2 * (found["memory.total"] ?? 0))
  #expect(found["swap.total"] == Double(free[2][1]))
  let df = try run("df", ["-B1", "--output=size,avail,itotal", "/"])
  let root = try #require(space.keys.first(where: isRoot))
  let labels = String(root.dropFirst("filesystem.total".count))
  #expect(space[root] == Double(df[1][0]) && space["filesystem.inodes" + labels] == Double(df[1][2]))
  #expect(abs((space["filesystem.available" + labels] ?? 0) - (Double(df[1][1]) ?? 0)) < 2e9)
  #expect(space["filesystem.hung" + labels] == 0)
  // Those that are there, not those that could be added to the machine.
  let cores = try #require(Int(try run("getconf", ["_NPROCESSORS_ONLN"])[0][0]))
  #expect(found.keys.filter { $0.hasPrefix("cpu.core.busy") }.count == cores)
  let modes = CPUTimes.modes.compactMap { found["cpu." + $0] }
  #expect(modes.count == 8 && abs(modes.reduce(0, +) - 100) < 0.01)
  #expect((0...100).contains(found["cpu.busy"] ?? -1))
  let uptime = try run("cat", ["/proc/uptime"])[0][0]
  #expect(abs((found["uptime.seconds"] ?? 0) - (Double(uptime) ?? 0)) < 60)
  #expect(found["processes.count"] ?? 0 > 2 && found["threads.count"] ?? 0 >= found["processes.count"] ?? 0)
  #expect(found["files.open"] ?? 0 > 0 && found["load.1"] != nil)
  if fileIdentity("/proc/pressure/cpu") != nil { #expect((0...100).contains(found["pressure.cpu.some"] ?? -1)) }
  #expect(Set(records.map(\.host)) == ["h"])
}

@Test func `a mount that hangs is named, hinders no other, and is asked again when it answers`() throws {
  let gate = Guarded(true)
  let watch = SpaceWatch(patienceMilliseconds: 50) { path in
    while path == "/hung" && gate.withLock({ $0 }) { sleep(until: .after(milliseconds: 2)) }
    return FileSystemSpace(totalBytes: 10, freeBytes: 5, availableBytes: 4, inodes: 2, freeInodes: 1)
  }
  let mounts = ["/a", "/hung", "/z"].map { Mount(path: $0, device: "d", type: "nfs") }
  func round(until wanted: ([SpaceWatch.Answer]) -> Bool) -> [SpaceWatch.Answer]? {
    for _ in 0..<3000 {
      watch.start(mounts, at: .now())
      if let answers = watch.answers(waitMilliseconds: 20), wanted(answers) { return answers }
    }
    return nil
  }
  let hung = try #require(round { $0.count == 3 })
  #expect(hung.map { $0.space != nil } == [true, false, true])
  gate.withLock { $0 = false }
  #expect(round { $0.count == 3 && $0.allSatisfy { $0.space != nil } } != nil)
}

@Test func `names match patterns as in a shell`() {
  let cases: [(String, String, Bool)] = [
    ("", "", true), ("*", "", true), ("a", "", false), ("a*", "abc", true), ("*c", "abc", true), ("a?c", "abc", true),
    ("a?c", "ac", false), ("*.log", "x.log.1", false), ("*.log*", "x.log.1", true), ("[a-c]x", "bx", true),
    ("[!a-c]x", "bx", false), ("[^a]x", "bx", true), ("[]]", "]", true), ("[", "[", true), ("[a", "[a", true),
    ("a[", "a[", true), ("**a**", "bab", true), ("a*b*c*d", "aXbXcX", false), ("?", "", false), ("[!", "[!", true),
    ("[a-]", "-", true), ("vet*", "veth1", true), ("É*", "École", true), ("?", "é", false),
  ]
  for (pattern, text, expected) in cases {
    #expect(globMatches(pattern, text) == expected, "\(pattern) \(text)")
  }
  let stars = String(repeating: "*a", count: 50)
  #expect(!globMatches(stars, String(repeating: "a", count: 49)))
}

@Test func `every metric of the host is in the table of its page, and nothing else is`() throws {
  let proc = try FakeProc()
  defer { try? proc.remove() }  // leaves a folder behind at worst
  var host = HostCollector(HostSettings(), host: "h", app: "a", proc: proc.path)
  var names: Set<String> = []
  for count in 1...2 {
    let n = count * 100
    let texts = [
      (
        "stat",
        "cpu \(n) 1 1 \(n) 1 1 1 1\ncpu0 \(n) 1 1 \(n) 1 1 1 1\nctxt \(n)\nprocesses \(n)\nprocs_running 1\nprocs_blocked 0\n"
      ),
      (
        "meminfo",
        [
          "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Shmem", "Slab", "Dirty", "Committed_AS",
          "SwapTotal", "SwapFree",
        ].map { "\($0): 5 kB\n" }.joined()
      ),
      ("loadavg", "1 1 1 1/2 3"), ("uptime", "5.0 5.0"), ("sys/fs/file-nr", "5 0 9"),
      ("diskstats", "8 0 sda \(n) 0 \(n) \(n) \(n) 0 \(n) \(n) 0 \(n) \(n)\n"),
      ("net/dev", " eth0: \(n) 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n"),
      ("self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n"),
    ]
    for (name, text) in texts { try proc.write(name, text) }
    for kind in ["cpu", "memory", "io"] {
      try proc.write("pressure/" + kind, "some total=\(n)\nfull total=\(n)\n")
    }
    var records: [Record] = []
    host.collect(at: SampleTime(boot: BootInstant(nanoseconds: Int64(count) * 1_000_000_000), time: 0), into: &records)
    names.formUnion(values(records).keys.map { String($0.prefix { $0 != "{" }) })
  }
  let page = String(decoding: try readFile(repositoryRoot() + "/ha/AGENT.md"), as: UTF8.self)
  var documented: Set<String> = []
  for line in page.split(separator: "\n") where line.hasPrefix("| `") && line.split(separator: "|").count == 3 {
    for (index, word) in line.split(separator: "|")[0].split(separator: "`").enumerated() where index % 2 == 1 {
      if word.contains(".") { documented.insert(String(word)) }
    }
  }
  #expect(names.subtracting(documented) == [] && documented.subtracting(names) == [])
}

private func repositoryRoot(_ file: String = #filePath) -> String {
  file.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
}

@Test func `the example of the agent's page is a configuration that is taken`() throws {
  let page = String(decoding: try readFile(repositoryRoot() + "/ha/AGENT.md"), as: UTF8.self)
  let lines = page.split(separator: "\n", omittingEmptySubsequences: false)
  let start = try #require(lines.firstIndex(of: "```json5"))
  let end = try #require(lines[(start + 1)...].firstIndex(of: "```"))
  let text = "{ servers: ['10.0.0.100'], " + lines[(start + 1)..<end].joined(separator: "\n") + "}"
  let settings = try AgentSettings.parse(Array(text.utf8), file: "AGENT.md")
  #expect(settings.collect.processes.count == 4 && settings.follow.files.count == 3 && settings.follow.journal != nil)
}
