// A node's status in the Prometheus text format, version 0.0.4.
internal import Telemetry

/// Collects families of samples; a family's HELP and TYPE come once, before its samples.
struct MetricsText {
  enum Kind: String { case gauge, counter }
  private(set) var text = ""

  /// One family. A sample whose value is nil is left out, and a family without samples altogether.
  mutating func family(
    _ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: KeyValuePairs<String, String>, value: Double?)]
  ) {
    let known = samples.filter { $0.value != nil }
    if known.isEmpty { return }
    text += "# HELP standwatch_\(name) \(escaped(help, quote: false))\n# TYPE standwatch_\(name) \(kind.rawValue)\n"
    for sample in known {
      let labels = sample.labels.map { "\($0.key)=\"\(escaped($0.value, quote: true))\"" }.joined(separator: ",")
      text += "standwatch_\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(number(sample.value ?? 0))\n"
    }
  }
  mutating func gauge(_ name: String, _ help: String, _ value: Double?) { family(name, .gauge, help, [([:], value)]) }
  mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
    family(name, .counter, help, [([:], Double(value))])
  }

  private func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 9e15 { return "\(Int64(value))" }
    return "\(value)"
  }
  private func escaped(_ text: String, quote: Bool) -> String {
    var out = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\"" where quote: out += "\\\""
      default: out.unicodeScalars.append(character)
      }
    }
    return out
  }
}

/// The states that `standwatch_state` enumerates; one that is not among them is added as it comes.
private let states = [
  "starting", "standby", "promoting", "active", "draining", "stepping-down", "degraded", "faulty", "excused", "stopped",
]

/// All metrics of a node.
func metricsText(_ status: NodeStatus) -> String {
  var out = MetricsText()
  let one: Double = 1
  out.family(
    "build_info", .gauge, "Always 1; its labels say what runs.",
    [(["cluster": status.cluster, "node": status.node, "version": status.version], one)])
  let known = states.contains(status.state) ? states : states + [status.state]
  out.family(
    "state", .gauge, "1 for the state that the node is in.",
    known.map { (["state": $0], $0 == status.state ? 1 : 0) })
  out.gauge("active", "Whether this node is the active one.", status.isActive ? 1 : 0)
  out.gauge("ready", "Whether this node leads or could lead at once.", status.unreadiness == nil ? 1 : 0)
  out.gauge("state_age_seconds", "Time since the last transition.", Double(status.stateMilliseconds) / 1000)
  out.gauge("epoch", "Epoch that this node leads or led last.", status.epoch.map(Double.init))
  out.gauge("cluster_epoch", "Epoch as last read from the database.", status.clusterEpoch.map(Double.init))
  out.gauge("lease_left_seconds", "Time until the lease ends.", status.leaseLeftMilliseconds.map(seconds))
  out.gauge("paused", "Whether an operator stopped all promotions.", status.paused == nil ? 0 : 1)
  out.family(
    "no_promote", .gauge, "Nodes that an operator excluded from promotion.",
    status.noPromote.map { (["node": $0], one) })
  out.family(
    "service_address_held", .gauge, "Whether this node holds the service address.",
    status.serviceAddresses.map { (["address": $0.address, "interface": $0.interface], $0.held ? 1 : 0) })
  out.gauge("database_reachable", "Whether PostgreSQL answers.", status.database.reachable ? 1 : 0)
  out.gauge(
    "database_last_answer_age_seconds", "Time since PostgreSQL answered.",
    status.database.lastAnswerMilliseconds.map(seconds))
  out.gauge(
    "database_beat_seconds", "Duration of the last beat in the lease session.",
    status.database.beatMilliseconds.map(seconds))
  addPeers(&out, status)
  addIngest(&out, status.ingest)
  addTokens(&out, status.tokens)
  out.family(
    "http_answers_total", .counter, "Answers of this node's web server, by status.",
    status.http.answers.sorted { $0.key < $1.key }.map { (["code": "\($0.key)"], Double($0.value)) })
  out.family(
    "http_refused_total", .counter, "HTTP connections closed without an answer, by reason.",
    status.http.refused.sorted { $0.key < $1.key }.map { (["reason": $0.key], Double($0.value)) })
  if let takeover = status.lastTakeover {
    out.gauge("last_takeover_epoch", "Epoch of the last promotion of this node.", Double(takeover.epoch))
    out.family(
      "last_takeover_phase_seconds", .gauge, "When each phase of that promotion ended, from its beginning.",
      takeover.phases.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map { (["phase": $0.key], seconds($0.value)) })
  }
  out.family(
    "thread_last_tick_age_seconds", .gauge, "Time since each critical thread said that it is alive.",
    status.threads.map { (["thread": $0.name], seconds($0.lastTickMilliseconds)) })
  out.gauge(
    "process_resident_memory_bytes", "Resident memory of the worker.", Double(status.process.residentKilobytes) * 1024)
  out.gauge("process_uptime_seconds", "Time since the worker started.", status.process.uptimeSeconds)
  return out.text
}

private func seconds(_ milliseconds: Double) -> Double { milliseconds / 1000 }

private func addPeers(_ out: inout MetricsText, _ status: NodeStatus) {
  out.family(
    "peer_silent", .gauge, "Whether no beat of the peer was heard on any link lately.",
    status.peers.map { (["peer": $0.node], $0.silent ? 1 : 0) })
  out.family(
    "peer_database_reachable", .gauge, "Whether the peer says that PostgreSQL answers it.",
    status.peers.map { (["peer": $0.node], $0.databaseReachable ? 1 : 0) })
  let links = status.peers.flatMap { peer in peer.links.map { (peer.node, $0) } }
  out.family(
    "peer_link_last_heard_age_seconds", .gauge, "Time since the last beat on this link.",
    links.map { (["peer": $0.0, "link": $0.1.link], $0.1.lastHeardMilliseconds.map(seconds)) })
  out.family(
    "peer_link_round_trip_seconds", .gauge, "Round-trip time of the last beat on this link.",
    links.map { (["peer": $0.0, "link": $0.1.link], $0.1.roundTripMilliseconds.map(seconds)) })
  out.family(
    "peer_beats_received_total", .counter, "Beats admitted on this link.",
    links.map { (["peer": $0.0, "link": $0.1.link], Double($0.1.received)) })
  out.family(
    "peer_beats_dropped_total", .counter, "Beats dropped on this link, by reason.",
    links.flatMap { node, link in
      link.dropped.sorted { $0.key < $1.key }.map {
        (["peer": node, "link": link.link, "reason": $0.key], Double($0.value))
      }
    })
}

private func addTokens(_ out: inout MetricsText, _ tokens: NodeStatus.Tokens) {
  out.gauge("tokens_required", "Whether senders have to show a token.", tokens.required ? 1 : 0)
  out.gauge("tokens_valid", "Tokens that are valid.", Double(tokens.valid))
  out.gauge("tokens_read_age_seconds", "Time since the tokens were read.", tokens.readMilliseconds.map(seconds))
  out.family(
    "token_refused_total", .counter, "Hellos, requests and connections refused for their token, by reason.",
    TokenRefusal.allCases.map { (["reason": $0.rawValue], Double(tokens.refused[$0.rawValue] ?? 0)) })
}

private func addIngest(_ out: inout MetricsText, _ ingest: NodeStatus.Ingest) {
  out.family(
    "ingest_connections", .gauge, "Open client connections.",
    ingest.connections.sorted { $0.key < $1.key }.map { (["protocol": $0.key], Double($0.value)) })
  out.counter("ingest_records_received_total", "Records taken off the wire.", ingest.received)
  out.counter("ingest_records_committed_total", "Records committed to PostgreSQL.", ingest.committed)
  out.counter("ingest_records_acknowledged_total", "Records acknowledged to their senders.", ingest.acknowledged)
  out.counter("ingest_records_rejected_total", "Records refused one by one.", ingest.rejected)
  out.counter(
    "ingest_over_quota_total", "New names and label sets refused: their source had brought too many in the hour.",
    ingest.overQuota)
  out.counter("ingest_records_shed_total", "Records dropped because their protocol can't wait.", ingest.shed)
  out.gauge("ingest_records_per_second", "Records committed, over the last second or so.", ingest.recordsPerSecond)
  out.gauge("ingest_buffered_bytes", "Bytes of records on their way.", Double(ingest.bufferedBytes))
  out.gauge("ingest_buffer_limit_bytes", "Bound of the bytes on their way.", Double(ingest.bufferLimitBytes))
  out.family(
    "ingest_refused_total", .counter, "Connections refused or closed by the node, by reason.",
    ingest.refused.sorted { $0.key < $1.key }.map { (["reason": $0.key], Double($0.value)) })
  addScrapes(&out, ingest.scrape)
  out.family(
    "ingest_records_rejected_by_reason_total", .counter, "Records refused one by one, by reason.",
    ingest.rejectedByReason.sorted { $0.key < $1.key }.map { (["reason": $0.key], Double($0.value)) })
  out.family(
    "ingest_deliveries_total", .counter, "Deliveries of stock senders, by how they ended.",
    ingest.deliveries.sorted { $0.key < $1.key }.map { (["outcome": $0.key], Double($0.value)) })
  out.gauge("ingest_deliveries_under_way", "Deliveries not answered yet.", Double(ingest.deliveriesUnderWay))
  let lanes = ingest.lanes
  out.family(
    "ingest_lane_batches_total", .counter, "Batches committed by this lane.",
    lanes.map { (["lane": "\($0.lane)"], Double($0.batches)) })
  out.family(
    "ingest_lane_records_total", .counter, "Records committed by this lane.",
    lanes.map { (["lane": "\($0.lane)"], Double($0.records)) })
  out.family(
    "ingest_lane_retries_total", .counter, "Batches that this lane had to write again.",
    lanes.map { (["lane": "\($0.lane)"], Double($0.retries)) })
  out.family(
    "ingest_lane_last_commit_seconds", .gauge, "Duration of the lane's last batch, BEGIN to COMMIT.",
    lanes.map { (["lane": "\($0.lane)"], $0.lastCommitMilliseconds.map(seconds)) })
}

private func addScrapes(_ out: inout MetricsText, _ targets: [NodeStatus.ScrapeTarget]) {
  out.family(
    "scrape_target_up", .gauge, "Whether the last scrape of this target succeeded; only on the active node.",
    targets.map { target in (["url": target.url], target.isUp.map { $0 ? 1 : 0 }) })
  out.family(
    "scrape_target_samples", .gauge, "Samples of the last scrape of this target.",
    targets.map { target in (["url": target.url], target.isUp == nil ? nil : Double(target.samples)) })
  out.family(
    "scrapes_total", .counter, "Scrapes: stored, lost (made but not stored), skipped (could not begin in time).",
    targets.flatMap { target in
      [("stored", target.stored), ("lost", target.lost), ("skipped", target.skipped)].map {
        (["url": target.url, "outcome": $0.0], Double($0.1))
      }
    })
}
