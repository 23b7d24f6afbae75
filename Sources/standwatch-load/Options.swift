// What the command line asks for, and the help text that explains it.
import Platform
import Postgres
import TLS

/// A mistake in the arguments; the text says which and how to mend it.
struct UsageError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// How records travel.
enum Wire: String { case native, syslog }

/// How much is sent: until the first bound that is set.
struct Amount: Equatable {
  var seconds: Double?
  var records: Int64?
  var untilSignal = false
}

/// TLS on every connection.
struct LoadTLS {
  var credentials: TLSCredentials
  /// What the node's certificate has to be for; nil is the address of the target.
  var serverName: String?
}

/// Options of the load itself, every value usable as it stands.
struct LoadOptions {
  var targets: [SocketAddress] = []
  var sources = 1
  /// Records a second over all sources; nil is as fast as it goes.
  var rate: Double?
  var amount = Amount()
  var types = RecordType.allCases
  var wire = Wire.native
  var tls: LoadTLS?
  var database: ConnectionString?
  var jsonPath: String?
  var timelinePath: String?
  var name = "load"
  var drainSeconds = 15.0
  /// Silence after which a connection counts as dead.
  var deadAfterMilliseconds: Int64 = 300
  var quiet = false
  /// Shown in every hello; empty for none.
  var token = ""
}

/// Options of `watch-address`.
struct WatchOptions {
  var interface = ""
  var address = ""
  var intervalMilliseconds: Int64 = 10
  var seconds: Double?
  var jsonPath: String?
}

enum Command {
  case load(LoadOptions)
  case watchAddress(WatchOptions)
  case help
}

/// The arguments one after the other; `--name=value` is taken apart.
private struct Arguments {
  private var rest: ArraySlice<String>
  init(_ arguments: [String]) {
    rest =
      arguments.flatMap { argument -> [String] in
        guard argument.hasPrefix("--"), let sign = argument.firstIndex(of: "=") else { return [argument] }
        return [String(argument[..<sign]), String(argument[argument.index(after: sign)...])]
      }[...]
  }
  mutating func next() -> String? { rest.popFirst() }
  mutating func value(of option: String) throws(UsageError) -> String {
    guard let value = rest.popFirst() else { throw UsageError("\(option) needs a value") }
    return value
  }
  mutating func number(of option: String, from least: Double, to most: Double) throws(UsageError) -> Double {
    let text = try value(of: option)
    guard let number = Double(text), number >= least, number <= most else {
      throw UsageError("\(option) \(text): not a number from \(shown(least)) to \(shown(most))")
    }
    return number
  }
  private func shown(_ number: Double) -> String {
    number == number.rounded() && number < 1e15 ? "\(Int64(number))" : "\(number)"
  }
}

/// Reads the arguments behind the program's name.
func parseCommand(_ words: [String]) throws(UsageError) -> Command {
  if words.contains("--help") || words.contains("-h") { return .help }
  if words.first == "watch-address" { return .watchAddress(try parseWatch(Arguments(Array(words.dropFirst())))) }
  return .load(try parseLoad(Arguments(words)))
}

private func parseLoad(_ given: Arguments) throws(UsageError) -> LoadOptions {
  var arguments = given
  var options = LoadOptions()
  var deadAfter: Int64?
  var files = TLSFiles()
  var serverName: String?
  while let option = arguments.next() {
    switch option {
    case "--target":
      let text = try arguments.value(of: option)
      guard let address = SocketAddress(text: text) else {
        throw UsageError("--target \(text): not ADDRESS:PORT with a numeric address")
      }
      options.targets.append(address)
    case "--sources": options.sources = Int(try arguments.number(of: option, from: 1, to: 20_000))
    case "--rate":
      let text = try arguments.value(of: option)
      guard text != "max" else { continue }
      guard let rate = Double(text), rate > 0, rate <= 1e8 else {
        throw UsageError("--rate \(text): neither \"max\" nor records a second")
      }
      options.rate = rate
    case "--seconds": options.amount.seconds = try arguments.number(of: option, from: 0.1, to: 1e7)
    case "--records": options.amount.records = Int64(try arguments.number(of: option, from: 1, to: 1e12))
    case "--stay-until-signal": options.amount.untilSignal = true
    case "--types": options.types = try parseTypes(try arguments.value(of: option))
    case "--protocol":
      let text = try arguments.value(of: option)
      guard let wire = Wire(rawValue: text) else { throw UsageError("--protocol \(text): native or syslog") }
      options.wire = wire
    case "--database":
      let text = try arguments.value(of: option)
      do throws(PostgresError) {
        options.database = try ConnectionString(text)
      } catch {
        throw UsageError("--database: \(error)")
      }
      // Everybody on this host reads the arguments of every process.
      if options.database?.hasPassword == true {
        throw UsageError("--database: a password has no place among arguments: put it in a file (passfile=FILE)")
      }
    case "--json": options.jsonPath = try arguments.value(of: option)
    case "--timeline": options.timelinePath = try arguments.value(of: option)
    case "--name": options.name = try parseName(try arguments.value(of: option))
    case "--drain": options.drainSeconds = try arguments.number(of: option, from: 0, to: 3600)
    case "--dead-after": deadAfter = Int64(try arguments.number(of: option, from: 50, to: 60_000))
    case "--tls-ca": files.authorities = try arguments.value(of: option)
    case "--tls-certificate": files.certificate = try arguments.value(of: option)
    case "--tls-key": files.key = try arguments.value(of: option)
    case "--tls-name": serverName = try arguments.value(of: option)
    case "--quiet": options.quiet = true
    case "--token-file": options.token = try readToken(try arguments.value(of: option))
    default: throw UsageError("unknown argument \"\(option)\"; see --help")
    }
  }
  guard !options.targets.isEmpty else { throw UsageError("--target ADDRESS:PORT is missing; see --help") }
  options.tls = try parseTLS(files, serverName)
  if options.amount == Amount() { options.amount.seconds = 10 }
  // As fast as it goes, replies queue behind what the node is still to read; thousands of sources share this thread.
  options.deadAfterMilliseconds = deadAfter ?? (options.rate == nil ? 3000 : 300 + Int64(options.sources / 5))
  return options
}

private func parseTLS(_ files: TLSFiles, _ serverName: String?) throws(UsageError) -> LoadTLS? {
  if files == TLSFiles(), serverName == nil { return nil }
  guard files.authorities != nil else { throw UsageError("--tls-ca FILE is missing: whose certificates are trusted") }
  guard (files.certificate == nil) == (files.key == nil) else {
    throw UsageError("--tls-certificate and --tls-key belong together")
  }
  do throws(TLSFileError) {
    return LoadTLS(credentials: try TLSCredentials(files), serverName: serverName)
  } catch {
    throw UsageError("\(error)")
  }
}

private func readToken(_ path: String) throws(UsageError) -> String {
  do throws(SystemError) {
    var bytes = try readFile(path, limit: 4096)
    while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  } catch {
    throw UsageError("--token-file \(path): \(errorText(error.code))")
  }
}

private func parseTypes(_ text: String) throws(UsageError) -> [RecordType] {
  var types: [RecordType] = []
  for word in text.split(separator: ",") {
    guard let type = RecordType(rawValue: String(word)) else {
      let known = RecordType.allCases.map { $0.rawValue }.joined(separator: ", ")
      throw UsageError("--types \(word): not one of \(known)")
    }
    types.append(type)
  }
  guard !types.isEmpty else { throw UsageError("--types needs at least one type") }
  return types
}

private func parseName(_ text: String) throws(UsageError) -> String {
  let plain = text.utf8.allSatisfy { byte in
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || byte == UInt8(ascii: "-")
  }
  guard plain, (1...40).contains(text.utf8.count) else { throw UsageError("--name \(text): 1 to 40 of a-z, 0-9, -") }
  return text
}

private func parseWatch(_ given: Arguments) throws(UsageError) -> WatchOptions {
  var arguments = given
  var options = WatchOptions()
  while let option = arguments.next() {
    switch option {
    case "--interface": options.interface = try arguments.value(of: option)
    case "--address": options.address = try arguments.value(of: option)
    case "--interval": options.intervalMilliseconds = Int64(try arguments.number(of: option, from: 2, to: 1000))
    case "--seconds": options.seconds = try arguments.number(of: option, from: 0.1, to: 1e7)
    case "--json": options.jsonPath = try arguments.value(of: option)
    default: throw UsageError("unknown argument \"\(option)\"; see --help")
    }
  }
  guard !options.interface.isEmpty, !options.address.isEmpty else {
    throw UsageError("watch-address needs --interface and --address; see --help")
  }
  return options
}

let helpText = """
  standwatch-load sends numbered records from many sources and then proves from PostgreSQL which are lost or doubled.

  Usage: standwatch-load --target ADDRESS:PORT [--target ...] [option ...]
         standwatch-load watch-address --interface IF --address A [option ...]

  Load:
    --target ADDRESS:PORT  where to send; with several, a source moves on to the next when one fails
    --sources N            how many sources, each with a stream and a connection of its own (1)
    --rate R | max         records a second over all sources, or as fast as it goes (max)
    --seconds S            send for S seconds (10)
    --records N            send N records over all sources
    --stay-until-signal    send until SIGINT or SIGTERM, then settle and report as usual
    --types A,B,...        mix of queue, step, job, metric, log, event, process, web, span (all)
    --protocol P           native (acknowledged) or syslog (RFC 5424 over TCP, never acknowledged) (native)
    --tls-ca FILE          over TLS; the node's certificate has to come from these authorities (PEM)
    --tls-certificate FILE, --tls-key FILE  shown where the node asks for a certificate
    --tls-name NAME        what the node's certificate has to be for (the address of the target)
    --name PREFIX          beginning of the sources' names (load)
    --drain S              how long to wait for the last acknowledgements (15)
    --token-file FILE      the token that all sources show (hactl token add 'load*'); a file, so that no list of
                           processes has it
    --dead-after MS        silence after which a connection is given up (300 and a millisecond per five sources; 3000
                           with --rate max)

  Proof and report:
    --database CONNINFO    compare with what this PostgreSQL holds
    --json FILE            report as JSON; "-" is standard output
    --timeline FILE        a JSON line per round of acknowledgements: t_ns (CLOCK_BOOTTIME), node, epoch, records;
                           every 250 ms one with what each source has made and seen acknowledged
    --quiet                no progress on standard error

  watch-address probes an IPv4 address by ARP and reports when which hardware address answered:
    --interval MS          time between probes (10)
    --seconds S            how long; without it until SIGINT or SIGTERM
    --json FILE            report as JSON

  Exit status: 0 nothing lost, doubled or never sent; 1 something was; 2 wrong arguments; 3 could not measure.

  """
