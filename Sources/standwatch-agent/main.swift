// The agent of a monitored host: reads its arguments and runs, checks the configuration, or asks a running agent.
internal import Agent
internal import Platform

private let usage = """
  Usage: standwatch-agent [--config FILE] [--check | --status [--json]]

  Collects what happens on this host, keeps it on disk and sends it to the Standwatch service, exactly once.

    --config FILE   the agent's configuration (default /etc/standwatch-agent/agent.json5)
    --check         read and check the configuration, and whether this user can read what is to be followed
    --status        ask the running agent how it fares; --json for programs
    --version       print the version
    --help          print this text

  Exit status: 0 stopped as asked, or all is well; 1 something is wrong (--status, --check), or failed and may be tried again;
  64 wrong arguments; 69 no agent answers; 78 refused to start (the log says why and how to mend it).
  Documentation: README.md.
  """

private enum Mode { case run, check, status }

private func run(_ arguments: [String]) -> Int32 {
  try? forbidCoreDumps()  // where the kernel refuses, the unit's LimitCORE still holds
  var path = "/etc/standwatch-agent/agent.json5"
  var mode = Mode.run
  var asJSON = false
  var rest = arguments[...]
  while let argument = rest.popFirst() {
    switch argument {
    case "--config":
      guard let value = rest.popFirst() else { return wrong("--config needs a file") }
      path = value
    case "--check": mode = .check
    case "--status": mode = .status
    case "--json": asJSON = true
    case "--version":
      print("standwatch-agent \(agentVersion)")
      return 0
    case "--help", "-h":
      print(usage)
      return 0
    default: return wrong("unknown argument \(argument)")
    }
  }
  switch mode {
  case .run: return runAgent(configurationPath: path)
  case .check: return checkAgentConfiguration(path: path)
  case .status: return printAgentStatus(configurationPath: path, asJSON: asJSON)
  }
}

private func wrong(_ problem: String) -> Int32 {
  print("standwatch-agent: \(problem)\n\n\(usage)")
  return 64
}

exitNow(run(Array(processArguments().dropFirst())))
