// The verdict of a drill: what is judged, how it reads, and how it is kept.
internal import Platform
internal import Postgres

/// All that a drill measured. Times are milliseconds.
struct DrillReport: Codable, Equatable, Sendable {
  enum Verdict: String, Codable, Sendable { case passed, failed, aborted }
  var kind: String
  /// RFC 3339.
  var startedAt: String
  var `operator`: String
  var nodeBefore: String
  var nodeAfter: String?
  var epochBefore: Int64
  var epochAfter: Int64?
  /// Phases of the promotion, from its own beginning: the last sign of life of the former active.
  var detectMilliseconds: Double?
  var promoteMilliseconds: Double?
  var addressMilliseconds: Double?
  /// From the fault to the first record that the new active acknowledged.
  var firstAckMilliseconds: Double?
  /// Between the last acknowledgement of the old active and the first of the new one; where the service has to stay,
  /// the longest time between two.
  var gapMilliseconds: Double?
  var gapLimitMilliseconds: Double
  /// From the end of the fault until the node that had it was ready again; nil when it was already, or never.
  var recoveredMilliseconds: Double?
  var made: Int64 = 0
  var acknowledged: Int64 = 0
  /// Nil when PostgreSQL could not be asked.
  var lost: Int64?
  var doubled: Int64?
  var phases: [String: Double] = [:]
  var verdict = Verdict.aborted
  /// Why it did not pass, and what else is worth knowing.
  var remarks: [String] = []

  /// Sets the verdict by what was measured.
  mutating func judge(movesTheService: Bool, aborted: String?) {
    var reasons: [String] = []
    if let aborted { reasons.append(aborted) }
    if let lost, lost > 0 { reasons.append("\(lost) acknowledged records are not stored") }
    if let doubled, doubled > 0 { reasons.append("\(doubled) records are stored twice") }
    if aborted == nil {
      if lost == nil { reasons.append("PostgreSQL could not be asked what it has") }
      if movesTheService {
        if nodeAfter == nil {
          reasons.append("nobody took over")
        } else if nodeAfter == nodeBefore {
          reasons.append("no other node took over: \(nodeBefore) serves again by itself")
        }
      } else if let epochAfter, epochAfter != epochBefore {
        reasons.append("the service moved to \(nodeAfter ?? "another node"), though it should have stayed")
      }
      if let gap = gapMilliseconds {
        if gap > gapLimitMilliseconds {
          reasons.append(
            "\(milliseconds(gap)) without an acknowledgement; the limit is \(milliseconds(gapLimitMilliseconds))")
        }
      } else {
        reasons.append("no record was acknowledged after the fault")
      }
    }
    verdict = aborted != nil ? .aborted : reasons.isEmpty ? .passed : .failed
    remarks = reasons + remarks
  }

  var exitCode: Int32 {
    if (lost ?? 0) > 0 || (doubled ?? 0) > 0 { return ExitCode.bad }
    return verdict == .passed ? ExitCode.done : ExitCode.failed
  }

  func rendered(_ style: Style) -> String {
    let mark = verdict == .passed ? style.green("✓") : style.red("✗")
    let moved =
      switch (nodeAfter, epochAfter) {
      case (let node?, let epoch?) where epoch != epochBefore:
        "\(nodeBefore) → \(node), epoch \(epochBefore) → \(epoch)"
      default: "\(nodeBefore) stayed active, epoch \(epochBefore)"
      }
    var text = "\(mark) drill \(kind) \(style.bold(verdict.rawValue)): \(moved)\n"
    for remark in remarks { text += "  ! \(remark)\n" }
    var rows: [[String]] = []
    func row(_ name: String, _ value: Double?, _ what: String) {
      if let value { rows.append([name, milliseconds(value), what]) }
    }
    row("detected", detectMilliseconds, "from the last sign of life of \(nodeBefore)")
    row("promoted", promoteMilliseconds, "the new epoch is committed")
    row("address", addressMilliseconds, "the service IP is claimed")
    row("first record", firstAckMilliseconds, "acknowledged by the new active, from the fault")
    row(
      "gap", gapMilliseconds,
      (epochAfter ?? epochBefore) == epochBefore
        ? "longest time between two acknowledgements (limit \(milliseconds(gapLimitMilliseconds)))"
        : "last acknowledgement before to first after (limit \(milliseconds(gapLimitMilliseconds)))")
    row("recovered", recoveredMilliseconds, "\(nodeBefore) is ready again, from the end of the fault")
    rows.append([
      "records", grouped(acknowledged),
      "acknowledged, \(lost.map { grouped($0) } ?? "?") lost, \(doubled.map { grouped($0) } ?? "?") stored twice",
    ])
    text += table(rows)
    if !phases.isEmpty { text += style.dim("  phases: \(phaseText(phases))") + "\n" }
    return text
  }

  /// Keeps it in `ha.drill`.
  func store(_ session: inout Connection, deadline: BootInstant) throws(PostgresError) {
    func text(_ value: Double?) -> String? { value.map { "\($0)" } }
    _ = try session.query(
      """
      INSERT INTO ha.drill (kind, started_at, operator, node_before, node_after, epoch_before, epoch_after, detect_ms,
        promote_ms, address_ms, gap_ms, acked, lost, doubled, verdict, detail)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::jsonb)
      """,
      [
        kind, startedAt, self.operator, nodeBefore, nodeAfter, "\(epochBefore)", epochAfter.map { "\($0)" },
        text(detectMilliseconds), text(promoteMilliseconds), text(addressMilliseconds), text(gapMilliseconds),
        "\(acknowledged)", lost.map { "\($0)" }, doubled.map { "\($0)" }, verdict.rawValue, json(self),
      ], deadline: deadline)
  }
}
