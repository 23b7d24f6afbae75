// What every command shares: the commands' table, exit codes, output, and where configuration, node and database are.
internal import Configuration
internal import Node
internal import Platform
internal import Postgres

/// Documented in `hactl --help`.
enum ExitCode {
  static let done: Int32 = 0, failed: Int32 = 1, bad: Int32 = 2
  static let usage: Int32 = 64, unreachable: Int32 = 69, permission: Int32 = 77, configuration: Int32 = 78
}

/// Ends a command: the thing and the reason in one sentence, and the mend in another.
struct Failure: Error, Equatable, CustomStringConvertible {
  var message: String
  var mend: String?
  var code: Int32
  init(_ message: String, mend: String? = nil, code: Int32 = ExitCode.failed) {
    self.message = message
    self.mend = mend
    self.code = code
  }
  var description: String { message + (mend.map { "\n  \($0)" } ?? "") }
}

/// One command and its description.
struct Command: Sendable {
  var spec: CommandSpec
  var run: @Sendable (Arguments, Tool) throws -> Int32
}

/// In the order of the help.
let commands: [Command] = [
  Command(spec: statusSpec, run: status),
  Command(spec: switchoverSpec, run: switchover),
  Command(spec: pauseSpec, run: pause),
  Command(spec: resumeSpec, run: resume),
  Command(spec: noPromoteSpec, run: noPromote),
  Command(spec: historySpec, run: history),
  Command(spec: watchSpec, run: watch),
  Command(spec: reportSpec, run: report),
  Command(spec: configSpec, run: config),
  Command(spec: tokenSpec, run: token),
  Command(spec: keySpec, run: key),
  Command(spec: quarantineSpec, run: quarantine),
  Command(spec: migrateSpec, run: migrate),
  Command(spec: doctorSpec, run: doctor),
  Command(spec: drillSpec, run: drill),
  Command(spec: completionSpec, run: completion),
]

/// Runs one command line; the exit code.
func runTool(_ words: [String]) -> Int32 {
  let errorStyle = Style(colour: isTerminal(2) && environmentValue("NO_COLOR") == nil)
  func complain(_ message: String) { writeText("\(errorStyle.red("hactl:")) \(message)\n", to: 2) }
  guard let name = words.first else {
    writeText(helpText(), to: 2)
    return ExitCode.usage
  }
  if ["--help", "-h", "help"].contains(name) {
    if name == "help", words.count > 1, let command = commands.first(where: { $0.spec.name == words[1] }) {
      writeText(helpText(command.spec))
    } else {
      writeText(helpText())
    }
    return ExitCode.done
  }
  if ["--version", "-V", "version"].contains(name) {
    writeText("hactl \(standwatchVersion)\n")
    return ExitCode.done
  }
  // What a drill starts for itself; not a command for people, so it is not in the table.
  if name == restorerWord { return restoreWhenAlone(Array(words.dropFirst())) }
  guard let command = commands.first(where: { $0.spec.name == name }) else {
    let hint = nearest(to: name, of: commands.map(\.spec.name)).map { "; did you mean \"\($0)\"?" } ?? ""
    complain("there is no command \"\(name)\"\(hint)\n  \"hactl --help\" lists them")
    return ExitCode.usage
  }
  do {
    let arguments = try Arguments(Array(words.dropFirst()), of: command.spec)
    if arguments.has("--help") {
      writeText(helpText(command.spec))
      return ExitCode.done
    }
    return try command.run(arguments, Tool(arguments))
  } catch let error as UsageError {
    complain("\(error)\n  \"hactl \(command.spec.name) --help\" says more")
    return ExitCode.usage
  } catch let error as Failure {
    complain(error.description)
    return error.code
  } catch let error as ConfigurationError {
    complain(error.description)
    return ExitCode.configuration
  } catch let error as MigrationError {
    complain(error.description)
    return ExitCode.failed
  } catch {
    complain("\(error)")
    return ExitCode.failed
  }
}

/// What a command needs of its surroundings.
struct Tool: Sendable {
  let configurationPath: String
  let connectionOption: String?
  /// Of standard output.
  let style: Style

  init(_ arguments: Arguments) {
    configurationPath = arguments["--config"] ?? environmentValue("STANDWATCH_CONFIG") ?? defaultPath
    connectionOption = arguments["--connection"]
    style = Style(colour: isTerminal(1) && environmentValue("NO_COLOR") == nil)
  }

  func print(_ text: String) { writeText(text.hasSuffix("\n") ? text : text + "\n") }

  func configuration() throws(ConfigurationError) -> NodeConfiguration {
    try NodeConfiguration.load(path: configurationPath)
  }

  /// Who gives an order, for the history: `root@host`, and who that was before `sudo`.
  var operatorName: String {
    let user = userName(effectiveUser()) ?? "uid \(effectiveUser())"
    let before = environmentValue("SUDO_USER").map { " (\($0))" } ?? ""
    return "\(user)\(before)@\(hostName())"
  }

  /// The string of `--connection`, else the configured one.
  func connectionString(_ configuration: NodeConfiguration?) throws -> ConnectionString {
    if let connectionOption {
      let given: ConnectionString
      do { given = try ConnectionString(connectionOption) } catch {
        throw UsageError(description: "--connection: \(error.message)")
      }
      // Everybody on this host reads the arguments of every process.
      if given.hasPassword {
        throw UsageError(
          description: "--connection: a password has no place among arguments: put it in a file (passfile=FILE)")
      }
      return given
    }
    if let configuration { return configuration.database.connection }
    return try self.configuration().database.connection
  }

  /// A session of our own. Its name is none of a node's, so that no fence ends it.
  func openSession(_ configuration: NodeConfiguration?, deadline: BootInstant) throws -> Connection {
    try openToolSession(try connectionString(configuration), deadline: deadline)
  }
}

/// `target`: which server will do (`target_session_attrs`).
func openToolSession(
  _ connection: ConnectionString, target: String = "read-write", deadline: BootInstant
) throws(PostgresError) -> Connection {
  let endpoints = connection.resolve()
  if endpoints.isEmpty {
    throw PostgresError(.connect, "no host of \(connection) is known to the resolver")
  }
  var session = try Connection.open(
    endpoints,
    settings: [
      ("application_name", "hactl"), ("target_session_attrs", target), ("options", ""), ("keepalives", "1"),
      ("keepalives_idle", "1"), ("keepalives_interval", "1"), ("keepalives_count", "3"), ("tcp_user_timeout", "3000"),
      ("client_encoding", "UTF8"),
    ], deadline: deadline)
  let settings = """
    SET search_path = pg_catalog; SET default_transaction_read_only = off; SET synchronous_commit = on; \
    SET default_transaction_isolation = 'read committed'; SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; \
    SET standard_conforming_strings = on; SET statement_timeout = '30s'; SET lock_timeout = '2s'; \
    SET idle_in_transaction_session_timeout = '30s';
    """
  _ = try session.run(settings, deadline: deadline)
  return session
}

/// Colours on a terminal, nothing elsewhere.
struct Style: Equatable, Sendable {
  var colour: Bool
  private func wrap(_ code: String, _ text: String) -> String { colour ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }
  func red(_ text: String) -> String { wrap("31;1", text) }
  func yellow(_ text: String) -> String { wrap("33", text) }
  func green(_ text: String) -> String { wrap("32", text) }
  func bold(_ text: String) -> String { wrap("1", text) }
  func dim(_ text: String) -> String { wrap("2", text) }
}
