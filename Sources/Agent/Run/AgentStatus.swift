// What the agent tells of itself: one JSON object for `--status`, and what a person reads of it.
internal import FoundationEssentials
internal import Platform
internal import Telemetry

/// Put together when somebody asks.
struct AgentReport: Codable, Equatable {
  var version = ""
  var host = ""
  var source = ""
  var pid: Int32 = 0
  var up_seconds = 0.0
  var memory_kib = 0
  /// Nil before the first whole interval.
  var cpu_percent: Double?

  var connected = false
  var server = ""
  var node = ""
  var epoch: Int64 = 0
  var connects = 0
  var seconds_since_ack: Double?
  var last_error = ""
  var live = false
  var refused_by_service: Int64 = 0
  var last_refusal_by_service = ""

  var stream = ""
  var last_seq: Int64 = 0
  var durable_seq: Int64 = 0
  var acked_seq: Int64 = 0
  var spool_folder = ""
  var spool_bytes = 0
  var spool_limit = 0
  var waiting: Int64 = 0
  var oldest_seconds: Double?
  var taken: Int64 = 0
  var dropped: Int64 = 0
  var damaged_segments = 0
  var missing: Int64 = 0
  var loss_unknown = false
  var sync_failures = 0
  var spool_failure = ""

  var applications = 0
  var applications_waiting = 0
  var lines_taken: Int64 = 0
  var lines_refused: Int64 = 0
  var last_refused_line = ""

  /// What is configured to be followed and is not.
  var not_followed: [FollowTrouble] = []

  /// What is wrong, each with what to do; the first is the most urgent.
  var problems: [(problem: String, mend: String)] {
    var found: [(String, String)] = []
    if !spool_failure.isEmpty {
      found.append(
        ("the spool can't be written: \(spool_failure)", "make room on, or mend, the disk of \(spool_folder)"))
    }
    let reason = last_error.hasPrefix("bye: ") ? String(last_error.dropFirst(5)) : last_error
    if !connected, NativeReply.isAboutToken(reason) || reason.hasPrefix("tokenFile: ") {
      found.append(
        (
          "the service does not let this agent in: \(reason)",
          "records are kept; on a node: hactl token add \(source), and put what it prints into tokenFile of agent.json5"
        ))
    } else if !connected {
      found.append(
        (
          "not connected" + (last_error.isEmpty ? "" : ": \(last_error)"),
          last_error.contains("TLS")
            ? "records are kept; tls in agent.json5 and listen.tls in node.json5 of the nodes have to fit"
            : "records are kept; check that servers in agent.json5 is the service IP and that its port can be reached"
        ))
    } else if waiting > 0, let oldest = oldest_seconds, oldest > 10 {
      found.append(
        ("the service has not acknowledged for \(Int(oldest)) s", "hactl status on a node says why; records are kept"))
    }
    if spool_bytes > spool_limit / 10 * 9 {
      found.append(
        (
          "the spool is full: samples are dropped (\(dropped) so far) and applications wait",
          "mend the connection, or raise spool.bytes"
        ))
    }
    if damaged_segments > 0 || missing > 0 || loss_unknown {
      found.append(
        (
          "\(damaged_segments) damaged segments were set aside, \(lossText)",
          "check the disk; *.damaged in \(spool_folder) can be removed"
        ))
    }
    for each in not_followed where each.isRefused {
      found.append(("\(each.path) is not followed: \(each.reason)", each.mend))
    }
    if refused_by_service > 0 {
      found.append(
        ("the service refused \(refused_by_service) records: \(last_refusal_by_service)", "ingest.rejected has them"))
    }
    if lines_refused > 0 {
      found.append(
        ("\(lines_refused) lines of applications were refused: \(last_refused_line)", "mend the application"))
    }
    return found
  }

  private var lossText: String {
    loss_unknown
      ? "an unknown number of records is missing"
      : "up to \(missing) records are missing (ingest.gap has those not sent)"
  }

  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    // Numbers and texts always have a form; an infinity among them would be our bug.
    guard let data = try? encoder.encode(self) else { return "{}\n" }
    return String(decoding: data, as: UTF8.self) + "\n"
  }
  init() {}
  init?(json: [UInt8]) {
    // Another version's answer, or none.
    guard let report = try? JSONDecoder().decode(AgentReport.self, from: Data(json)) else { return nil }
    self = report
  }

  var text: String {
    var lines: [String] = []
    for (problem, mend) in problems { lines += ["! \(problem)", "  \(mend)"] }
    let absent = not_followed.filter { !$0.isRefused }
    if lines.isEmpty { lines.append(absent.isEmpty ? "all is well" : "all is well, but some files are not there") }
    for each in absent { lines += ["? \(each.path): \(each.reason)", "  \(each.mend)"] }
    let memory = "\(memory_kib / 1024) MiB" + (cpu_percent.map { ", \(rounded($0)) % of a core" } ?? "")
    lines.append("agent        \(version) on \(host), pid \(pid), up \(Int(up_seconds)) s, \(memory)")
    lines.append(
      connected
        ? "service      node \(node), epoch \(epoch), at \(server)\(live ? ", live" : "")"
        : "service      not connected")
    if let seconds_since_ack { lines.append("last ack     \(rounded(seconds_since_ack)) s ago") }
    lines.append("spool        \(spool_bytes) of \(spool_limit) bytes, \(waiting) records wait")
    if let oldest_seconds { lines.append("oldest       \(rounded(oldest_seconds)) s") }
    lines.append("taken        \(taken) records, \(dropped) samples dropped")
    lines.append("applications \(applications) connected, \(lines_taken) lines taken, \(lines_refused) refused")
    return lines.joined(separator: "\n") + "\n"
  }
  private func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  private enum CodingKeys: CodingKey {
    case version, host, source, pid, up_seconds, memory_kib, cpu_percent, connected, server, node, epoch, connects
    case seconds_since_ack, last_error, live, refused_by_service, last_refusal_by_service, stream, last_seq
    case durable_seq, acked_seq, spool_folder, spool_bytes, spool_limit, waiting, oldest_seconds, taken, dropped
    case damaged_segments, missing, loss_unknown, sync_failures, spool_failure, applications, applications_waiting,
      lines_taken
    case lines_refused, last_refused_line, not_followed
  }
}
