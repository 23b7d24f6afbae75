// The node's daemon: started by the supervisor it is the guard, started by the guard it is the worker.
internal import Node
internal import Platform

private let usage = """
  Usage: standwatchd [--config FILE] [--check]

  Runs one node of a Standwatch cluster: a guard that owns the service IP and an unprivileged worker.

    --config FILE   the node's configuration (default /etc/standwatch/node.json5)
    --check         read and check the configuration, then exit
    --version       print the version
    --help          print this text

  Exit status: 0 stopped as asked, 64 wrong arguments, 78 refused to start (the log says why and how to mend it).
  Documentation: README.md, ha/README.md; hactl --help for the operator's side.
  """

private enum Mode { case guarding, worker, check }

private func run(_ arguments: [String]) -> Int32 {
  var path = "/etc/standwatch/node.json5"
  var mode = Mode.guarding
  var rest = arguments[...]
  while let argument = rest.popFirst() {
    switch argument {
    case "--config":
      guard let value = rest.popFirst() else { return wrong("--config needs a file") }
      path = value
    case "--worker": mode = .worker
    case "--check": mode = .check
    case "--version":
      print("standwatchd \(standwatchVersion)")
      return 0
    case "--help", "-h":
      print(usage)
      return 0
    default: return wrong("unknown argument \(argument)")
    }
  }
  switch mode {
  case .guarding: return runNode(configurationPath: path)
  case .worker: return runWorker(configurationPath: path)
  case .check: return checkConfiguration(path: path)
  }
}

private func wrong(_ problem: String) -> Int32 {
  print("standwatchd: \(problem)\n\n\(usage)")
  return 64
}

exitProcess(run(Array(processArguments().dropFirst())))
