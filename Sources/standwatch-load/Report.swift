// The outcome of a run, as JSON for programs and as a few lines for people.
import Platform

struct Report {
  var options: LoadOptions
  var run: String
  var made: Int64
  var acked: Int64
  var unacknowledged: Int64
  var seconds: Double
  var ackedPerSecond: Double
  var heldBack: Int64
  var tally: Tally
  var verdict: Verdict?
  /// Why there is no verdict though one was asked for.
  var failure: String?

  var json: JSON {
    func count(_ value: Int64?) -> JSON { value.map { .integer($0) } ?? .null }
    func milliseconds(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
    let takeovers = tally.takeovers.map { each in
      JSON.object([
        ("from_node", .text(each.fromNode)), ("to_node", .text(each.toNode)), ("from_epoch", .integer(each.fromEpoch)),
        ("to_epoch", .integer(each.toEpoch)), ("last_old_ns", .integer(each.lastOld.nanoseconds)),
        ("first_new_ns", .integer(each.firstNew.nanoseconds)), ("gap_ms", .number(each.gapMilliseconds)),
      ])
    }
    let missing = options.wire == .syslog ? verdict.map { made - $0.stored } : verdict == nil ? nil : 0
    return .object([
      ("run", .text(run)), ("protocol", .text(options.wire.rawValue)), ("sources", .integer(Int64(options.sources))),
      ("seconds", .number(seconds)), ("sent", .integer(made)), ("acked", .integer(acked)),
      ("unacknowledged", .integer(unacknowledged)), ("held_back", .integer(heldBack)),
      ("acked_per_s", .number(ackedPerSecond)), ("stored", count(verdict?.stored)),
      ("rejected", count(verdict?.rejected)), ("lost", count(verdict?.lost)), ("doubled", count(verdict?.doubled)),
      ("phantom", count(verdict?.phantom)), ("missing", count(missing)),
      ("stored_unacknowledged", count(verdict?.storedUnacknowledged)),
      ("lost_examples", .list((verdict?.examples ?? []).map { .text($0) })),
      ("ack_ms_p50", milliseconds(tally.latency.quantile(0.5))),
      ("ack_ms_p99", milliseconds(tally.latency.quantile(0.99))), ("ack_ms_max", .number(tally.latency.largest)),
      ("longest_silence_ms", .number(tally.longestSilence)), ("disconnects", .integer(Int64(tally.disconnects))),
      ("takeovers", .list(takeovers)), ("resident_kb", .integer(Int64(residentKilobytes()))),
      ("remarks", .object(tally.remarks.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64($0.value))) })),
      ("failure", failure.map { .text($0) } ?? .null),
    ])
  }

  var summary: String {
    var lines = [
      "sent \(made) records in \(tenths(seconds)) s over \(options.sources) source(s), \(options.wire.rawValue)"
    ]
    if options.wire == .native {
      lines.append("acknowledged \(acked) (\(Int64(ackedPerSecond)) a second), unacknowledged \(unacknowledged)")
      if let median = tally.latency.quantile(0.5), let tail = tally.latency.quantile(0.99) {
        lines.append("acknowledged after \(tenths(median)) ms (median), \(tenths(tail)) ms (99 of 100)")
      }
    }
    if heldBack > 0 { lines.append("held back \(heldBack) records: every backlog was full") }
    for each in tally.takeovers {
      lines.append(
        "takeover \(each.fromNode) (epoch \(each.fromEpoch)) -> \(each.toNode) (epoch \(each.toEpoch)): "
          + "gap \(tenths(each.gapMilliseconds)) ms")
    }
    if let verdict {
      lines.append("stored \(verdict.stored), rejected \(verdict.rejected)")
      lines.append("lost \(verdict.lost), doubled \(verdict.doubled), never sent \(verdict.phantom)")
      if options.wire == .syslog { lines.append("sent but not stored \(made - verdict.stored)") }
      lines += verdict.examples.map { "  lost: \($0)" }
    }
    if let failure { lines.append("not verified: \(failure)") }
    return lines.joined(separator: "\n")
  }

  /// See the help text.
  var exitStatus: Int32 {
    if failure != nil { return 3 }
    if let verdict, !verdict.isClean { return 1 }
    return 0
  }
  private func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}

/// Writes a report to a file, or to standard output for "-".
func write(_ json: JSON, to path: String) throws(SystemError) {
  if path == "-" { return print(json.written) }
  try replaceFile(path, with: Array((json.written + "\n").utf8))
}
