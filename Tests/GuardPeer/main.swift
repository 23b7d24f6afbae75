// A stand-in for standwatchd in the guard's tests: the real guard, with a worker that does what its standard input
// says. Also the other hosts of the LAN.
//
//   guard-peer --config FILE                              the guard (starts itself again with --worker)
//   guard-peer --listen ADDRESS INTERFACE MS              prints who claims the address
//   guard-peer --probe ADDRESS INTERFACE EVERY_MS MS      asks, and prints who answers
//   guard-peer --impostor ADDRESS INTERFACE               claims the address once
//   guard-peer --address-gone ADDRESS MS                  prints when this host's kernel loses the address
//
// Commands of the worker, a line each: `claim N MS`, `renew N MS`, `release N`, `probe N`, `status N`, `ready`, `mute`
// (no sign of life any more, replies are still read), `exit N`.
import Node
import Platform

func say(_ text: String) {
  print(text)
  flushOutput()
}

struct LineReader {
  private var buffer: [UInt8] = []
  private(set) var ended = false
  mutating func lines() -> [String] {
    var chunk = [UInt8](repeating: 0, count: 4096)
    guard let count = readSome(0, &chunk), count > 0 else {
      ended = true
      return []
    }
    buffer += chunk[..<count]
    var found: [String] = []
    while let end = buffer.firstIndex(of: 10) {
      found.append(String(decoding: buffer[..<end], as: UTF8.self))
      buffer = Array(buffer[(end + 1)...])
    }
    return found
  }
}

func request(_ words: [Substring]) -> GuardRequest? {
  let numbers = words.dropFirst().compactMap { UInt64($0) }
  let operation = numbers.first ?? 0
  let lifetime = numbers.count > 1 ? UInt32(numbers[1]) : 2000
  switch words.first {
  case "claim": return .claim(operation: operation, lifetimeMilliseconds: lifetime)
  case "renew": return .renew(operation: operation, lifetimeMilliseconds: lifetime)
  case "release": return .release(operation: operation)
  case "probe": return .probe(operation: operation)
  case "status": return .status(operation: operation)
  case "ready": return .ready
  default: return nil
  }
}

func work(_ client: GuardClient) -> Int32 {
  say("worker \(ownProcess()) user \(ownUser()) capabilities \(ownCapabilities())")
  var input = LineReader()
  var mute = false
  var next = BootInstant.now()
  while true {
    let ready = wait([client.descriptor, input.ended ? -1 : 0], for: .read, until: mute ? nil : next)
    if !mute && BootInstant.now() >= next {
      client.send(.alive)
      next = .after(milliseconds: 50)
    }
    while let reply = client.receive() { say("\(BootInstant.now().nanoseconds) \(reply)") }
    if client.isClosed { return 0 }
    guard ready.count == 2, ready[1].contains(.read) else { continue }
    for line in input.lines() {
      let words = line.split(separator: " ")
      if let request = request(words) {
        client.send(request)
      } else if words.first == "mute" {
        mute = true
      } else if words.first == "exit" {
        return words.count > 1 ? Int32(words[1]) ?? 0 : 0
      }
    }
  }
}

func lan(_ address: IPAddress, _ interface: String) throws -> LanSocket {
  var netlink = try Netlink()
  guard let link = try netlink.links().first(where: { $0.name == interface }) else {
    throw SystemError(call: interface, code: 19)
  }
  return try LanSocket(address, on: link)
}

func run(_ arguments: [String]) throws -> Int32 {
  func number(_ index: Int) -> Int64 { Int64(arguments[index]) ?? 0 }
  func address() throws -> IPAddress {
    guard let address = IPAddress(arguments[2]) else { throw SystemError(call: arguments[2], code: 22) }
    return address
  }
  switch arguments[1] {
  case "--config":
    return runGuard(configuration: try .load(path: arguments[2]), configurationPath: arguments[2])
  case "--worker":
    return work(try enterWorker(configuration: try .load(path: arguments[3])))
  case "--listen":
    var socket = try lan(try address(), arguments[3])
    let end = BootInstant.after(milliseconds: number(4))
    say("listening")
    while !wait(socket.descriptor, for: .read, until: end).isEmpty {
      for other in socket.claimants() { say("\(BootInstant.now().nanoseconds) \(other)") }
    }
    return 0
  case "--probe":
    var prober = try LanProber(try address(), interface: arguments[3])
    prober.run(everyMilliseconds: number(4), until: .after(milliseconds: number(5))) { answer in
      say("\(answer.at.nanoseconds) \(answer.hardware)")
      return true
    }
    say("asked \(prober.questions)")
    return 0
  case "--impostor":
    try lan(try address(), arguments[3]).announce()
    return 0
  case "--address-gone":
    let wanted = try address()
    var monitor = try LinkMonitor()
    let end = BootInstant.after(milliseconds: number(3))
    say("watching")
    while !wait(monitor.descriptor, for: .read, until: end).isEmpty {
      let now = BootInstant.now()
      for case .addressGone(let entry) in monitor.events() where entry.address == wanted {
        say("gone \(now.nanoseconds)")
        return 0
      }
    }
    return 1
  default: return 64
  }
}

do {
  endProcess(try run(CommandLine.arguments))
} catch {
  say("error: \(error)")
  endProcess(1)
}
