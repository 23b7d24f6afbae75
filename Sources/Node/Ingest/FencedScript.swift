// The text of the statements that a lane sends. Only integers get into it, by `list`.
internal import Telemetry

/// Whom a lane writes for: nothing of another epoch, token or timeline commits.
struct Activation: Equatable, Sendable {
  var epoch: Int64
  var token: Int64
  var timeline: UInt32
}

/// SQLSTATEs of the schema's own functions.
enum Refusal {
  static let fenced = "SW001"
  static let timeline = "SW002"
  static let claim = "SW010"
  static let identity = "SW011"
}

/// Scripts for `Connection.run`, and which answers they have to bring.
enum FencedScript {
  /// The head of every write of an epoch. The lock is a statement of its own, so that the check sees what a promotion
  /// committed while the lock was waited for.
  static func begin(_ activation: Activation) -> String {
    let timeline = Int32(bitPattern: activation.timeline)
    return """
      BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE ha.fence IN ROW EXCLUSIVE MODE; \
      SELECT ha.check(\(activation.epoch), \(activation.token), \(timeline));
      """
  }
  /// Results of `begin` before the script's own.
  static let beginResults = 3

  /// Claims first, then the copies into `tables`.
  static func rows(
    _ activation: Activation, _ claims: [Claim], _ deliveries: [DeliveryClaim], _ tables: [Table]
  ) -> String {
    var script = begin(activation)
    script += " \(take(claims));"
    if !deliveries.isEmpty {
      script += " SELECT ingest.take_deliveries(\(list(deliveries.map(\.key.high))), "
      script += "\(list(deliveries.map(\.key.low))), \(list(deliveries.map { Int64($0.prev) })), "
      script += "\(list(deliveries.map { Int64($0.last) })), \(list(deliveries.map(\.digest))));"
    }
    for table in tables { script += " \(table.copyStatement);" }
    return script + " COMMIT"
  }
  /// A rehearsal asks for the term that is there, whosever it is, and does not take the lock of the fence.
  static let rehearsalBegin = """
    BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 100; \
    SELECT ha.check(l.epoch, l.token, ha.timeline()) FROM ha.leadership AS l
    """
  /// The statements of a batch with its names, and the end of the rehearsal.
  static func rehearsal(_ claims: [Claim], _ tables: [Table]) -> String {
    var script = "\(Table.name.copyStatement); SELECT kind, id, name FROM telemetry.store_names();"
    script += " \(take(claims));"
    for table in tables { script += " \(table.copyStatement);" }
    return script + " ROLLBACK"
  }
  private static func take(_ claims: [Claim]) -> String {
    "SELECT ingest.take(\(list(claims.map(\.stream))), \(list(claims.map(\.first))), \(list(claims.map(\.last))))"
  }
  static func names(_ activation: Activation) -> String {
    begin(activation) + " \(Table.name.copyStatement); SELECT kind, id, name FROM telemetry.store_names(); COMMIT"
  }
  /// Reads what is stored of `streams` in a transaction that writes: its COMMIT has flushed, and replicated, all that
  /// it saw, so the answer may be acknowledged. (A transaction that only reads commits without either.)
  static func settle(_ activation: Activation, _ streams: [Int64], _ deliveries: [DeliveryKey] = []) -> String {
    begin(activation) + " SELECT s.stream, ingest.committed(s.stream) FROM unnest(\(list(streams)))"
      + " AS s(stream); SELECT n, last, digest FROM ingest.stored_deliveries(\(list(deliveries.map(\.high))), "
      + "\(list(deliveries.map(\.low)))); \(mark); COMMIT"
  }
  /// A write without a row: it makes the COMMIT behind it a real one.
  static let mark = "SELECT pg_catalog.pg_logical_emit_message(true, 'standwatch', 'settled')"

  /// Registers the streams of one transaction; parameters are arrays of ids, sources and names.
  static let register = """
    SELECT r.id, ingest.register(r.id, r.source, r.stream) \
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS r(id, source, stream) ORDER BY r.id
    """
  /// Parameters are arrays of streams and of their last missing seqs, node and epoch.
  static let recordGaps = """
    SELECT g.id, ingest.take_gap(g.id, g.last, $3::text, $4::bigint) \
    FROM unnest($1::bigint[], $2::bigint[]) AS g(id, last) ORDER BY g.id
    """

  /// The one function that formats values: integers.
  static func list(_ values: [Int64]) -> String {
    var text = "'{"
    for (index, value) in values.enumerated() {
      if index > 0 { text += "," }
      text += String(value)
    }
    return text + "}'::bigint[]"
  }
}

/// An array of texts as a parameter's text (not SQL): every element quoted.
func textArray(_ values: [String]) -> String {
  var text = "{"
  for (index, value) in values.enumerated() {
    if index > 0 { text += "," }
    text += "\""
    for scalar in value.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { text += "\\" }
      text.unicodeScalars.append(scalar)
    }
    text += "\""
  }
  return text + "}"
}
