// `hactl status`: asks the node on this host and PostgreSQL, and works with either.
internal import Node
internal import Platform
internal import Postgres

let statusSpec = CommandSpec(
  name: "status", usage: "[--watch] [--json]", summary: "show who serves, what is wrong, and what to do",
  details: """
    Asks the node on this host through its control socket, and PostgreSQL; either is enough. Ends with 0 when an
    active node serves and nothing is broken, with 1 otherwise, with 69 when neither could be asked.
    """,
  options: [
    OptionSpec(names: ["--watch", "-w"], value: nil, help: "again every second, until Ctrl-C"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON"),
  ])

/// The JSON of `hactl status`.
private struct StatusDocument: Codable {
  var situation: Situation
  var nodes: [NodeLine]
  var active: String?
  var troubles: [Trouble]
}

func status(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  var sessions = StatusSource(tool: tool)
  while true {
    let situation = try sessions.look()
    let troubles = situation.troubles()
    if arguments.has("--json") {
      let document = StatusDocument(
        situation: situation, nodes: situation.nodeLines(), active: situation.active?.node, troubles: troubles)
      tool.print(json(document))
    } else {
      let page = situation.rendered(tool.style, time: rfc3339(wallMicroseconds: wallMicroseconds()))
      tool.print(arguments.has("--watch") && tool.style.colour ? "\u{1b}[H\u{1b}[2J" + page : page)
    }
    if !arguments.has("--watch") {
      if situation.own == nil && situation.view == nil { return ExitCode.unreachable }
      return situation.active == nil || troubles.contains(where: \.bad) ? ExitCode.failed : ExitCode.done
    }
    sleep(until: .after(milliseconds: 1000))
  }
}

/// Keeps its session with PostgreSQL from look to look.
struct StatusSource: ~Copyable {
  private let tool: Tool
  private var session: Connection?

  init(tool: Tool) {
    self.tool = tool
    session = nil
  }

  mutating func look() throws -> Situation {
    var situation = Situation(host: hostName())
    var configuration: NodeConfiguration?
    do {
      let found = try tool.configuration()
      configuration = found
      situation.cluster = found.cluster
      do throws(ControlError) { situation.own = try askStatus(found) } catch {
        situation.ownError =
          error.description
          + (error.reason == .noPermission ? " (run hactl as root, or join the socket's group)" : "")
      }
    } catch {
      // With --connection the database alone will do: this host runs no node.
      guard tool.connectionOption != nil else { throw error }
    }
    do {
      situation.view = try readView(configuration)
    } catch let error as PostgresError {
      situation.databaseError = error.description
      session = nil
    }
    return situation
  }

  private mutating func readView(_ configuration: NodeConfiguration?) throws -> ClusterView {
    let deadline = BootInstant.after(milliseconds: 2500)
    var standing =
      if let known = session.take() { known } else {
        try tool.openSession(configuration, deadline: deadline)
      }
    let view = try readCluster(&standing, deadline: deadline)
    session = consume standing
    return view
  }
}
