// What PostgreSQL knows of the cluster: read with the node's own login, in three statements.
internal import FoundationEssentials
internal import Node
internal import Platform
internal import Postgres

/// The cluster as the database tells it.
struct ClusterView: Codable, Equatable, Sendable {
  struct NodeRow: Codable, Equatable, Sendable {
    var node: String
    var incarnation: Int64
    var state: String
    /// Since its last beat in the database, by the server's clock.
    var beatAgeMilliseconds: Int64
    var noPromote: Bool
    /// Whether this run of the node has a lease or watch session now: a standby waits, and writes no beats meanwhile.
    var waits: Bool

    /// Whether it was alive within the last seconds.
    var isAlive: Bool { waits || beatAgeMilliseconds < 5000 }
    /// The state of its last beat, unless it has been waiting for the lock since.
    var presentState: String { waits && beatAgeMilliseconds > 1000 && state != "standby" ? "standby" : state }
  }
  struct Excluded: Codable, Equatable, Sendable {
    var node: String
    var by: String
    var why: String
  }
  struct Pause: Codable, Equatable, Sendable {
    var by: String
    var why: String
    var at: String
  }
  var epoch: Int64
  var timeline: Int?
  /// Who promoted last, and when; whether it still leads, the lock says.
  var leader: String?
  var since: String?
  /// Who holds the leader's lock: a node, or `?` when it is no session of a node; nil when nobody does.
  var lockHolder: String?
  var pause: Pause?
  var successor: String?
  var excluded: [Excluded]
  var nodes: [NodeRow]
  var lastTakeover: NodeStatus.Takeover?
  /// Items that are refused because workers crashed with them in hand.
  var quarantined: Int64 = 0
}

func readCluster(_ session: inout Connection, deadline: BootInstant) throws(PostgresError) -> ClusterView {
  let watched = try session.run(
    """
    SELECT w.epoch, w.timeline, w.leader_node, w.holder_pid, w.holder_node, w.successor, w.node, w.incarnation, \
    w.state, w.beat_age_ms, w.no_promote, w.holder_node IS DISTINCT FROM w.node AND EXISTS (SELECT FROM ha.sessions() \
    AS s WHERE s.node = w.node AND s.incarnation = w.incarnation AND s.role IN ('lease', 'watch')) FROM ha.watch() AS w; \
    SELECT c.paused, c.paused_by, c.paused_why, to_char(c.paused_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), \
    (SELECT to_char(l.since, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM ha.leadership AS l) FROM ha.control AS c; \
    SELECT n.node, n.set_by, n.why FROM ha.no_promote AS n ORDER BY n.node; \
    SELECT e.epoch, e.node, to_char(e.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), e.reason, e.phases FROM ha.event AS e \
    WHERE e.kind = 'active' ORDER BY e.at DESC, e.id DESC LIMIT 1
    """, deadline: deadline)
  let tables = watched.results.map { $0.rows.map(TextRow.init) }
  guard tables.count == 4 else { throw PostgresError(.misuse, "four answers were expected") }
  guard let first = tables[0].first else {
    throw PostgresError(.misuse, "no node has pinned this database to its cluster yet: start a node")
  }
  var view = ClusterView(epoch: first.integer(0) ?? 0, excluded: [], nodes: [])
  view.timeline = first.integer(1).map { Int($0) }
  view.leader = first[2]
  view.lockHolder = first[3] == nil ? nil : first[4] ?? "?"
  view.successor = first[5]
  view.nodes = tables[0].compactMap { row in
    guard let node = row[6] else { return nil }
    return ClusterView.NodeRow(
      node: node, incarnation: row.integer(7) ?? 0, state: row[8] ?? "unknown",
      beatAgeMilliseconds: row.integer(9) ?? 0, noPromote: row.boolean(10), waits: row.boolean(11))
  }
  if let control = tables[1].first {
    view.since = control[4]
    if control.boolean(0) {
      view.pause = ClusterView.Pause(by: control[1] ?? "", why: control[2] ?? "", at: control[3] ?? "")
    }
  }
  view.excluded = tables[2].map { ClusterView.Excluded(node: $0[0] ?? "", by: $0[1] ?? "", why: $0[2] ?? "") }
  view.lastTakeover = tables[3].first.map { row in
    NodeStatus.Takeover(
      epoch: row.integer(0) ?? 0, node: row[1] ?? "", at: row[2] ?? "", reason: row[3] ?? "",
      phases: phases(json: row[4]))
  }
  // A schema that is older than this tool has no quarantine.
  let quarantined = try? session.run(
    "SELECT count(*) FROM ingest.quarantine AS q WHERE q.released_at IS NULL", deadline: deadline)
  view.quarantined = quarantined?.scalar.flatMap { Int64($0) } ?? 0
  return view
}

/// `{"bumped": 12.5}`; anything else in it is left out.
func phases(json: String?) -> [String: Double] {
  // A phase that is no number is not ours to show.
  (try? JSONDecoder().decode([String: Double].self, from: Data((json ?? "{}").utf8))) ?? [:]
}

/// One row of text values; out of range is NULL.
struct TextRow: Equatable, Sendable {
  private let values: [String?]
  init(_ values: [String?]) { self.values = values }
  subscript(index: Int) -> String? { values.indices.contains(index) ? values[index] : nil }
  func integer(_ index: Int) -> Int64? { self[index].flatMap { Int64($0) } }
  func number(_ index: Int) -> Double? { self[index].flatMap { Double($0) } }
  func boolean(_ index: Int) -> Bool { self[index] == "t" }
}

/// One line of JSON, keys sorted.
func json(_ value: some Encodable) -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  // Our own types hold only what JSON has.
  guard let data = try? encoder.encode(value) else { return "{}" }
  return String(decoding: data, as: UTF8.self)
}
