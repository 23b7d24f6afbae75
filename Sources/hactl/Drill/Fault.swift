// Doing harm, and undoing it: signals to the worker, and packet filter rules in a table of the drill's own.
internal import Node
internal import Platform
internal import Postgres

/// One process, so that a later one with the same number is never meant.
struct ProcessIdentity: Equatable, Sendable {
  var pid: Int32
  /// Clock ticks after boot, from `/proc/PID/stat`.
  var started: String

  init?(pid: Int32) {
    guard pid > 1, let started = Self.start(of: pid) else { return nil }
    self.pid = pid
    self.started = started
  }
  /// `PID:STARTED`
  init?(text: String) {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let pid = Int32(parts[0]), pid > 1 else { return nil }
    self.pid = pid
    started = String(parts[1])
  }
  var text: String { "\(pid):\(started)" }
  var isAlive: Bool { Self.start(of: pid) == started }

  /// proc(5): the fields behind the name, which is in brackets and can hold anything; 22 is the start.
  private static func start(of pid: Int32) -> String? {
    guard let bytes = try? readFile("/proc/\(pid)/stat", limit: 4096) else { return nil }  // there is no such process
    let text = String(decoding: bytes, as: UTF8.self)
    guard let close = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: close)...].split(separator: " ")
    return fields.count > 19 ? String(fields[19]) : nil
  }
}

/// What has to be undone, whoever undoes it.
struct Restoration: Equatable, Sendable {
  static let table = "standwatch_drill"
  var process: ProcessIdentity?
  var filter = false

  /// Undoes everything; what could not be undone, in words. Doing it twice is as good as once.
  func restore() -> [String] {
    var left: [String] = []
    if let process, process.isAlive {
      do throws(SystemError) { try sendSignal(SignalNumber.proceed, to: process.pid) } catch {
        left.append("process \(process.pid) may still be stopped (\(error)): kill -CONT \(process.pid)")
      }
    }
    if filter, packetFilterIsThere() {
      let result = try? runFilter(["delete", "table", "inet", Self.table], "")  // judged by its effect below
      if packetFilterIsThere() {
        left.append(
          "packets are still dropped (\(result?.output ?? "nft failed")): nft delete table inet \(Self.table)")
      }
    }
    return left
  }
}

func packetFilterIsThere() -> Bool {
  // Without nft there is no table of ours.
  (try? runFilter(["list", "table", "inet", Restoration.table], ""))?.succeeded ?? false
}

private func runFilter(_ arguments: [String], _ input: String) throws(SystemError) -> CommandResult {
  guard let program = findProgram("nft") else { throw SystemError(call: "nft is not installed", code: 2) }
  return try runCommand(program, arguments, input: input, deadline: .after(milliseconds: 5000))
}

/// Drops what goes between this host and the given places.
func dropPackets(_ places: [(address: SocketAddress, datagram: Bool)], ownPorts: [UInt16]) throws {
  let result = try runFilter(["-f", "-"], filterRules(places, ownPorts: ownPorts))
  guard result.succeeded else {
    throw Failure("nft refused the rules: \(result.output.prefix(300))", mend: "does this kernel have nf_tables?")
  }
}

/// Behind connection tracking's own priority, before every ordinary rule.
func filterRules(_ places: [(address: SocketAddress, datagram: Bool)], ownPorts: [UInt16]) -> String {
  var incoming = ""
  var outgoing = ""
  for (address, datagram) in places {
    let family = address.isIPv6 ? "ip6" : "ip"
    let transport = datagram ? "udp" : "tcp"
    incoming += "    \(family) saddr \(address.host) \(transport) sport \(address.port) drop\n"
    outgoing += "    \(family) daddr \(address.host) \(transport) dport \(address.port) drop\n"
    for port in ownPorts where datagram {
      incoming += "    \(family) saddr \(address.host) udp dport \(port) drop\n"
    }
  }
  return """
    table inet \(Restoration.table) {
      chain incoming {
        type filter hook input priority -150; policy accept;
    \(incoming)  }
      chain outgoing {
        type filter hook output priority -150; policy accept;
    \(outgoing)  }
    }

    """
}

/// Where PostgreSQL is, numerically; looked up here.
func databasePlaces(_ connection: ConnectionString) throws -> [(address: SocketAddress, datagram: Bool)] {
  var places: [(address: SocketAddress, datagram: Bool)] = []
  for host in connection.hosts {
    if host.address == nil, host.host.isEmpty || host.host.hasPrefix("/") || host.host.hasPrefix("@") {
      throw Failure(
        "PostgreSQL is reached by a socket of this host: there is no way that could be cut",
        mend: "drill \"kill\" and \"stop\" work; for cut-database name PostgreSQL by host=ADDRESS")
    }
    guard let port = UInt16(host.port) else { continue }
    for address in host.address.map({ [$0] }) ?? lookUp(host.host) {
      if let place = SocketAddress(host: address, port: port) { places.append((place, false)) }
    }
  }
  guard !places.isEmpty else { throw Failure("no address of PostgreSQL is known (\(connection))") }
  return places
}

let restorerWord = "restore-when-alone"

/// A child that undoes the fault when this process is gone without having done so: even kill -9 of hactl leaves
/// nothing behind.
struct Restorer: ~Copyable {
  private let channel: SequencedChannel
  private var child: Child

  init(_ restoration: Restoration) throws {
    guard let program = ownProgramPath() else { throw Failure("this program can't be found in /proc/self/exe") }
    let (mine, theirs) = try SequencedChannel.pair()
    let other = Descriptor(owning: theirs)
    let channel = SequencedChannel(owning: Descriptor(owning: mine))
    var arguments = [restorerWord]
    if let process = restoration.process { arguments += ["--process", process.text] }
    if restoration.filter { arguments.append("--filter") }
    child = try Child(program, arguments, environment: [], descriptors: [other.raw, 1, 2])
    self.channel = channel
  }
  /// Nothing is left to undo.
  mutating func dismiss() {
    _ = channel.send([1])
    _ = child.wait(until: .after(milliseconds: 2000))
  }
}

/// The child's work: waits for the parent's word, or for its end. At most ten minutes: no drill takes as long.
func restoreWhenAlone(_ words: [String]) -> Int32 {
  ignoreInterrupts()
  var restoration = Restoration()
  var index = 0
  while index < words.count {
    if words[index] == "--filter" { restoration.filter = true }
    if words[index] == "--process", index + 1 < words.count {
      restoration.process = ProcessIdentity(text: words[index + 1])
    }
    index += 1
  }
  do {
    let channel = try SequencedChannel(inherited: 0)
    _ = wait(channel.descriptor, for: .read, until: .after(milliseconds: 600_000))
    if case .message = channel.receive() { return ExitCode.done }
  } catch {
    // Started by hand, most likely: restoring is what it is for.
  }
  let left = restoration.restore()
  for sentence in left { writeText("hactl: \(sentence)\n", to: 2) }
  return left.isEmpty ? ExitCode.done : ExitCode.failed
}
