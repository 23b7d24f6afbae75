// Entry point: reads the arguments, runs the load or the address watch, and ends with a status that says how it went.
import Platform
import Postgres

func runLoad(_ options: LoadOptions) throws(SystemError) -> Int32 {
  let run = randomBytes(6).map { hex($0) }.joined()
  let since = wallMicroseconds()
  var fleet = try Fleet(options, run: run)
  try fleet.run()
  let accounts = fleet.sources.map {
    SourceAccount(name: $0.name, stream: $0.stream, made: $0.backlog.made, acked: $0.backlog.acked)
  }
  let native = options.wire == .native
  let seconds = fleet.ended.milliseconds(since: fleet.began) / 1000
  var rate = 0.0
  if let first = fleet.tally.firstAck, let last = fleet.tally.lastAck, last > first {
    rate = Double(fleet.tally.acked) * 1000 / last.milliseconds(since: first)
  }
  var report = Report(
    options: options, run: run, made: fleet.made, acked: native ? fleet.tally.acked : 0,
    unacknowledged: native ? accounts.reduce(0) { $0 + $1.made - $1.acked } : 0, seconds: seconds,
    ackedPerSecond: rate, heldBack: fleet.heldBack, tally: fleet.tally)
  if let database = options.database {
    do throws(PostgresError) {
      report.verdict =
        native
        ? try verifyNative(accounts, since: since, database: database)
        : try verifySyslog(accounts, run: run, since: since, database: database)
    } catch {
      report.failure = error.description
    }
  }
  if let path = options.jsonPath { try write(report.json, to: path) }
  if options.jsonPath != "-" { print(report.summary) }
  return report.exitStatus
}

func runCommand() -> Int32 {
  try? forbidCoreDumps()  // of little use to anybody where the kernel refuses
  do throws(UsageError) {
    let command = try parseCommand(Array(processArguments().dropFirst()))
    do throws(SystemError) {
      switch command {
      case .help:
        print(helpText, terminator: "")
        return 0
      case .load(let options): return try runLoad(options)
      case .watchAddress(let options): return try watchAddress(options)
      }
    } catch {
      log(.error, "standwatch-load failed", ["reason": error.description])
      return 3
    }
  } catch {
    log(.error, "standwatch-load", ["mistake": error.description])
    return 2
  }
}

exitNow(runCommand())
