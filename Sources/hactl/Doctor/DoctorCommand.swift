// `hactl doctor`: every precondition checked for real, each with its mend.
internal import Configuration
internal import Node
internal import Platform
internal import Postgres

let doctorSpec = CommandSpec(
  name: "doctor", usage: "[--quiet] [--json]", summary: "check every precondition for real, and say how to mend it",
  details: """
    Checks the configuration and the files it names, interfaces and the service IP, the node's processes, PostgreSQL,
    its schema and rights, and the other nodes. Run it as root on each node. Ends with 0 when all is well, 1 with
    warnings, 2 with errors.
    """,
  options: [
    OptionSpec(names: ["--quiet", "-q"], value: nil, help: "only what is not well"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON"),
  ])

/// The outcome of one check.
struct Check: Codable, Equatable, Sendable {
  enum Grade: String, Codable, Sendable { case fine, note, warning, error }
  var area: String
  var grade: Grade
  var finding: String
  /// Empty when there is nothing to mend.
  var mend: String
}

/// Collects the checks of one area after the other.
struct Checkup {
  private(set) var checks: [Check] = []
  private var area = ""

  mutating func begin(_ area: String) { self.area = area }
  mutating func fine(_ finding: String) { add(.fine, finding, "") }
  mutating func note(_ finding: String, _ mend: String = "") { add(.note, finding, mend) }
  mutating func warn(_ finding: String, _ mend: String) { add(.warning, finding, mend) }
  mutating func error(_ finding: String, _ mend: String) { add(.error, finding, mend) }
  /// Fine when it holds, an error otherwise.
  mutating func require(_ holds: Bool, _ fine: String, else finding: String, _ mend: String) {
    if holds { self.fine(fine) } else { error(finding, mend) }
  }
  private mutating func add(_ grade: Check.Grade, _ finding: String, _ mend: String) {
    checks.append(Check(area: area, grade: grade, finding: finding, mend: mend))
  }

  var exitCode: Int32 {
    if checks.contains(where: { $0.grade == .error }) { return ExitCode.bad }
    return checks.contains { $0.grade == .warning } ? ExitCode.failed : ExitCode.done
  }

  func rendered(_ style: Style, quiet: Bool) -> String {
    var text = ""
    var shown = ""
    for check in checks where !quiet || check.grade == .warning || check.grade == .error {
      if check.area != shown {
        text += (text.isEmpty ? "" : "\n") + style.bold(check.area) + "\n"
        shown = check.area
      }
      let mark =
        switch check.grade {
        case .fine: style.green("✓")
        case .note: style.dim("·")
        case .warning: style.yellow("!")
        case .error: style.red("✗")
        }
      text += "  \(mark) \(check.finding)\n"
      if !check.mend.isEmpty { text += "    → \(check.mend)\n" }
    }
    func count(_ grade: Check.Grade) -> Int { checks.filter { $0.grade == grade }.count }
    let errors = count(.error)
    let warnings = count(.warning)
    let summary =
      "\(checks.count) checks: \(errors) error\(errors == 1 ? "" : "s"), \(warnings) warning\(warnings == 1 ? "" : "s")"
    text += (text.isEmpty ? "" : "\n")
    text += errors > 0 ? style.red(summary) : warnings > 0 ? style.yellow(summary) : style.green(summary)
    return text + "\n"
  }
}

func doctor(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  var checkup = Checkup()
  checkup.begin("configuration")
  let configuration: NodeConfiguration
  do {
    configuration = try tool.configuration()
  } catch {
    checkup.error("\(error.file): \(error.key.isEmpty ? "" : error.key + ": ")\(error.problem)", error.mend)
    return finish(checkup, arguments, tool)
  }
  checkConfiguration(configuration, path: tool.configurationPath, &checkup)
  checkKeyRotation(configuration, &checkup)
  checkup.begin("network of this host")
  let status = try? askStatus(configuration)  // the reason is told by checkProcesses
  checkNetwork(configuration, status, &checkup)
  checkup.begin("node on this host")
  checkProcesses(configuration, status, &checkup)
  if let status { checkTokens(status, &checkup) }
  checkup.begin("PostgreSQL")
  do {
    try checkDatabase(configuration, tool, &checkup)
  } catch let error as PostgresError {
    let failure = failure(error)
    checkup.error(failure.message, failure.mend ?? "look at PostgreSQL's log")
  }
  if let status {
    checkup.begin("other nodes")
    checkPeers(configuration, settled(status, configuration), &checkup)
  }
  return finish(checkup, arguments, tool)
}

private func finish(_ checkup: Checkup, _ arguments: Arguments, _ tool: Tool) -> Int32 {
  tool.print(
    arguments.has("--json") ? json(checkup.checks) : checkup.rendered(tool.style, quiet: arguments.has("--quiet")))
  return checkup.exitCode
}
