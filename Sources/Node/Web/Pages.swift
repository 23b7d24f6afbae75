// Which path answers what: pure, so that every answer can be tested without a socket.
internal import HTTPServer

/// What pages are asked for with.
func admitPage(_ request: HTTPRequest) -> HTTPAdmission {
  if request.method == "GET" || request.method == "HEAD" { return .plain }
  let text = "only GET and HEAD are served here\n"
  return .refuse(HTTPAnswer(status: 405, text: text, headers: [HTTPHeader("Allow", "GET, HEAD")]))
}

/// The answer of a node in this state. The query of a request plays no part.
func answer(_ request: HTTPRequest, _ status: NodeStatus) -> HTTPAnswer {
  switch request.path {
  case "/healthz":
    let hanging = status.threads.filter { $0.lastTickMilliseconds > $0.limitMilliseconds }
    if hanging.isEmpty { return HTTPAnswer(status: 200, text: "alive\n") }
    let names = hanging.map { "\($0.name) (\(Int64(clamping: $0.lastTickMilliseconds)) ms)" }
    return HTTPAnswer(status: 503, text: "no sign of life from \(names.joined(separator: ", "))\n")
  case "/readyz":
    guard let reason = status.unreadiness else {
      return HTTPAnswer(status: 200, text: status.isActive ? "leads\n" : "ready to lead\n")
    }
    return HTTPAnswer(status: 503, text: "not ready: \(reason)\n")
  case "/active":
    if status.isActive { return HTTPAnswer(status: 200, text: "active, epoch \(status.epoch ?? 0)\n") }
    return HTTPAnswer(status: 503, text: "\(status.state)\n")
  case "/metrics":
    return HTTPAnswer(
      status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: Array(metricsText(status).utf8))
  case "/":
    return HTTPAnswer(status: 200, text: frontPage(status))
  default:
    return HTTPAnswer(status: 404, text: "not found; there are /, /healthz, /readyz, /active and /metrics\n")
  }
}

extension Int64 {
  fileprivate init(clamping value: Double) {
    self = value.isNaN ? 0 : Int64(Swift.max(-9e15, Swift.min(9e15, value)))
  }
}

private func frontPage(_ status: NodeStatus) -> String {
  var lines = ["Standwatch \(status.version), cluster \(status.cluster), node \(status.node): \(status.state)"]
  if let epoch = status.epoch { lines[0] += ", epoch \(epoch)" }
  if !status.reason.isEmpty { lines.append("since \(status.stateMilliseconds / 1000) s: \(status.reason)") }
  if !status.isActive, let leader = status.leader { lines.append("active node by the database: \(leader)") }
  if !status.database.reachable {
    lines.append("PostgreSQL is not reachable: nothing can be written, and senders keep their records")
  }
  if let pause = status.paused { lines.append("paused by \(pause.by): \(pause.why)") }
  lines.append("")
  lines.append("/healthz /readyz /active /metrics")
  return lines.joined(separator: "\n") + "\n"
}
