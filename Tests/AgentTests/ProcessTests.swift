// Watched processes: real ones that start, restart, stop and go, found in every way there is.
@testable import Agent
import Platform
import Telemetry
import Testing

private func format(_ text: String) -> ProcessFormat? { ProcessFormat(Array(text.utf8), count: text.utf8.count) }

@Test func `a process's status is read whatever it calls itself`() throws {
  let rest = " S 1 2 3 4 -1 6 7 8 9 10 100 50 13 14 20 -5 7 18 12345 20 4096 22"
  let plain = try #require(format("77 (nginx)" + rest))
  #expect(plain.name == Array("nginx".utf8) && plain.state == "sleeping" && plain.parent == 1)
  #expect(plain.ticks == 150 && plain.threads == 7 && plain.start == 12_345 && plain.residentPages == 4096)
  #expect(format("77 (a) R 1 (b c)" + rest)?.name == Array("a) R 1 (b c".utf8))
  #expect(format("77 ()" + rest)?.name == [])
  #expect(format("77 (x) Z" + rest.dropFirst(2))?.state == "zombie")
  for text in ["", "77", "77 (x", "77 x) S 1", "77 (x) S", "77 (x)" + rest.prefix(40), "77 (x) SS" + rest.dropFirst(2)]
  {
    #expect(format(text) == nil, "\(text)")
  }
  #expect(
    format("77 (x) S 1 2 3 4 -1 6 7 8 9 10 18446744073709551615 1 13 14 20 0 1 0 5 20 30") == nil, "ticks overflow")
}

/// A program of ours under a name of its own, that ends with this value.
private struct Program: ~Copyable {
  var child: Child
  init(_ path: String, _ arguments: [String], name: String? = nil) throws {
    let null = try nullDevice()
    child = try Child(
      path, arguments, environment: [], descriptors: [null.raw, null.raw, null.raw], name: name)
  }
  mutating func end() {
    child.killGroup()
    _ = child.reap()
  }
}
private func temporaryFolder() throws -> String {
  let path = "/tmp/sw-process-\(randomBytes(8).map { String($0, radix: 16) }.joined())"
  _ = try runCommand("/bin/mkdir", [path], deadline: .after(milliseconds: 5000))
  return path
}
private func remove(_ path: String) {
  _ = try? runCommand("/bin/rm", ["-r", path], deadline: .after(milliseconds: 5000))
}

/// Samples until the wanted process is reported, or a minute has passed.
private func sample(
  _ collector: inout ProcessCollector, _ index: Int = 0, until wanted: (Record.Process) -> Bool
) -> Record.Process? {
  let deadline = BootInstant.after(milliseconds: 60_000)
  var found: Record.Process?
  while BootInstant.now() < deadline {
    var records: [Record] = []
    collector.collect(at: .now(), into: &records)
    guard case .process(let process) = records[index].body else { return nil }
    found = process
    if wanted(process) { return process }
    sleep(until: .after(milliseconds: 30))
  }
  return found
}

@Test func `a process watched by name is absent, then there, then restarted, with what it uses`() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  // The kernel keeps 15 bytes of a name.
  let program = folder + "/sw-watched-by-a-long-name"
  _ = try runCommand("/bin/cp", [try #require(findProgram("sleep")), program], deadline: .after(milliseconds: 5000))
  var collector = ProcessCollector(
    [
      ProcessWatch(process: "mine", .name("sw-watched-by-a-long-name")),
      ProcessWatch(process: "other", .name("sw-watched-by-a-long-other")),
      ProcessWatch(process: "arguments", .commandLine("*/sw-watched-by-a-* 60.[0-9]")),
    ], host: "h", app: "a")
  let absent = try #require(sample(&collector) { _ in true })
  #expect(
    absent
      == {
        var p = Record.Process(process: "mine", state: "absent"); p.restarts = 0; return p
      }())

  var first = try Program(program, ["60.5"])
  let running = try #require(
    sample(&collector) {
      // On a busy machine the program may still be on its way to its sleep.
      $0.pid == Int64(first.child.pid) && $0.cpu != nil && $0.state == "sleeping"
    })
  #expect(running.pid == Int64(first.child.pid) && running.state == "sleeping" && running.restarts == 0)
  #expect(running.threads == 1 && (running.memory ?? 0) > 100_000 && (running.upMilliseconds ?? -1) < 20_000)
  #expect((0...50).contains(running.cpu ?? -1))
  #expect(sample(&collector, 1) { _ in true }?.state == "absent")
  #expect(sample(&collector, 2) { $0.pid != nil }?.pid == Int64(first.child.pid))
  first.child.signal(19)  // SIGSTOP
  #expect(sample(&collector) { $0.state == "stopped" }?.state == "stopped")

  first.end()
  #expect(sample(&collector) { $0.state == "absent" }?.state == "absent")
  var second = try Program(program, ["60.5"])
  let again = try #require(sample(&collector) { $0.pid == Int64(second.child.pid) })
  #expect(again.pid == Int64(second.child.pid) && again.restarts == 1)
  second.end()
}

@Test func `processor time is percent of one core, and processes of one name are counted together`() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  let program = folder + "/sw-busy"
  _ = try runCommand("/bin/cp", ["/bin/sh", program], deadline: .after(milliseconds: 5000))
  var busy = try Program(program, ["-c", "while :; do :; done"])
  var idle = try Program(program, ["-c", "read x < /dev/zero; :"])
  var collector = ProcessCollector([ProcessWatch(process: "sw-busy", .name("sw-busy"))], host: "h", app: "a")
  _ = sample(&collector) { $0.attributes != nil }
  // A busy machine may give them less than they want for a while.
  var samples: [Record.Process] = []
  repeat {
    sleep(until: .after(milliseconds: 1000))
    samples.append(try #require(sample(&collector) { _ in true }))
  } while samples.last?.cpu ?? 0 < 5 && samples.count < 30
  let used = try #require(samples.last)
  #expect(used.attributes.map { String(decoding: $0.bytes, as: UTF8.self) } == #"{"processes":2}"#)
  #expect(used.pid == Int64(min(busy.child.pid, idle.child.pid)) || used.pid != nil)
  #expect((5...250).contains(used.cpu ?? 0), "\(used.cpu ?? -1)")
  busy.end()
  idle.end()
}

@Test func `a pid file names a process, but not another that got its pid`() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  var program = try Program(try #require(findProgram("sleep")), ["61"])
  let path = folder + "/x.pid"
  var collector = ProcessCollector([ProcessWatch(process: "x", .pidFile(path))], host: "h", app: "a")
  #expect(sample(&collector) { _ in true }?.state == "absent")
  for text in ["", "abc", "-5", "0", "99999999999", "4194399 "] {
    try replaceFile(path, with: Array(text.utf8))
    #expect(sample(&collector) { _ in true }?.state == "absent", "\(text)")
  }
  try replaceFile(path, with: Array("\(program.child.pid)\n".utf8))
  #expect(sample(&collector) { _ in true }?.pid == Int64(program.child.pid))
  // As if written an hour before the process began: by one that had the pid before.
  _ = try runCommand(
    try #require(findProgram("touch")), ["-d", "1 hour ago", path], deadline: .after(milliseconds: 5000))
  #expect(sample(&collector) { _ in true }?.state == "absent")
  program.end()
}

@Test func `a unit is the processes of its control group, wherever the group is`() throws {
  let folder = try temporaryFolder()
  defer { remove(folder) }
  var program = try Program(try #require(findProgram("sleep")), ["62"])
  var helper = try Program(try #require(findProgram("sleep")), ["63"])
  // Folders of the form that systemd makes below /sys/fs/cgroup; the kernel's own are in the next test.
  let slice = folder + "/system.slice/system-web.slice/web@1.service"
  _ = try runCommand("/bin/mkdir", ["-p", slice + "/inner"], deadline: .after(milliseconds: 5000))
  try replaceFile(slice + "/cgroup.procs", with: Array("\(program.child.pid)\n".utf8))
  try replaceFile(slice + "/inner/cgroup.procs", with: Array("\(helper.child.pid)\nx\n99999999999\n".utf8))
  var collector = ProcessCollector(
    [ProcessWatch(process: "web", .unit("web@1.service")), ProcessWatch(process: "no", .unit("no.service"))],
    host: "h", app: "a", cgroups: folder)
  let web = try #require(sample(&collector) { _ in true })
  #expect([program.child.pid, helper.child.pid].map(Int64.init).contains(web.pid ?? 0))
  #expect(web.attributes.map { String(decoding: $0.bytes, as: UTF8.self) } == #"{"processes":2}"#)
  #expect(sample(&collector, 1) { _ in true }?.state == "absent")
  remove(slice)
  #expect(sample(&collector) { $0.state == "absent" }?.state == "absent")
  program.end()
  helper.end()
}

@Test func `a unit's processes are read from the kernel's own control groups`() throws {
  let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
  let root = try #require(roots.first { fileIdentity($0 + "/cgroup.procs") != nil })
  let slice = "\(root)/swtest-\(randomBytes(4).map { String($0, radix: 16) }.joined()).slice"
  let unit = slice + "/sw-unit.service"
  _ = try runCommand("/bin/mkdir", ["-p", unit], deadline: .after(milliseconds: 5000))
  defer { _ = try? runCommand("/bin/rmdir", [unit, slice], deadline: .after(milliseconds: 5000)) }
  var program = try Program(try #require(findProgram("sleep")), ["64"])
  let moved = try runCommand(
    "/usr/bin/tee", [unit + "/cgroup.procs"], input: "\(program.child.pid)", deadline: .after(milliseconds: 5000))
  try #require(moved.succeeded, "\(moved.output)")
  var collector = ProcessCollector(
    [ProcessWatch(process: "unit", .unit("sw-unit.service"))], host: "h", app: "a")
  #expect(sample(&collector) { _ in true }?.pid == Int64(program.child.pid))
  program.end()
  #expect(sample(&collector) { $0.state == "absent" }?.state == "absent")
}
