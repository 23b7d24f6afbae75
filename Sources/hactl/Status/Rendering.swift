// `hactl status` as text: the verdict first, then what is wrong and what to do, then the figures.
internal import Node

/// 950 µs, 12 ms, 1.83 s, 3 min 12 s, 2 h 5 min, 4 d 3 h
func milliseconds(_ value: Double) -> String {
  if !(value.magnitude < 1e15) { return "?" }
  if value < 1 { return "\(Int((value * 1000).rounded())) µs" }
  if value < 1000 { return value < 10 ? "\(tenths(value)) ms" : "\(Int(value.rounded())) ms" }
  let seconds = value / 1000
  if seconds < 10 { return "\(tenths(seconds)) s" }
  let whole = Int(min(seconds, 1e12))
  if whole < 120 { return "\(whole) s" }
  if whole < 7200 { return "\(whole / 60) min \(whole % 60) s" }
  if whole < 172_800 { return "\(whole / 3600) h \(whole / 60 % 60) min" }
  return "\(whole / 86400) d \(whole / 3600 % 24) h"
}
func tenths(_ value: Double) -> String {
  let scaled = Int((value * 10).rounded())
  return scaled % 10 == 0 ? "\(scaled / 10)" : "\(scaled / 10).\(scaled % 10)"
}
func bytes(_ count: Int64) -> String {
  if count < 10 << 10 { return "\(count) B" }
  if count < 10 << 20 { return "\(count >> 10) KiB" }
  if count < 10 << 30 { return "\(count >> 20) MiB" }
  return "\(count >> 30) GiB"
}
/// 1234567 -> 1 234 567
func grouped(_ value: some BinaryInteger) -> String {
  var text = "\(value.magnitude)"
  var position = text.endIndex
  while let next = text.index(position, offsetBy: -3, limitedBy: text.startIndex), next > text.startIndex {
    text.insert(" ", at: next)
    position = next
  }
  return (value < 0 ? "-" : "") + text
}

/// Phases in the order in which they ended.
func phaseText(_ phases: [String: Double]) -> String {
  phases.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map { "\($0.key) \(milliseconds($0.value))" }
    .joined(separator: ", ")
}

/// Columns as wide as their widest cell, two spaces between.
func table(_ rows: [[String]], indent: String = "  ") -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
  return rows.map { row in
    let cells = row.enumerated().map { column, cell in
      column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count + 2)
    }
    var line = indent + cells.joined()
    while line.last == " " { line.removeLast() }
    return line + "\n"
  }.joined()
}

extension Situation {
  /// The whole page; `time` is the moment it shows.
  func rendered(_ style: Style, time: String) -> String {
    let troubles = troubles()
    var text = verdict(style, troubles) + "\n"
    let name = cluster ?? own?.cluster ?? "?"
    text += style.dim("cluster \(name), seen from \(host ?? "this host") at \(time)") + "\n"
    if !troubles.isEmpty {
      text += "\n"
      for trouble in troubles {
        text += (trouble.bad ? style.red("✗ ") : style.yellow("! ")) + trouble.problem + "\n"
        text += "  → \(trouble.mend)\n"
      }
    }
    let lines = nodeLines()
    if !lines.isEmpty {
      text += "\n" + table([["NODE", "STATE", "EPOCH", "POSTGRESQL", "ADDRESS", "HEARD"]] + lines.map(cells))
    }
    let figures = figures()
    if !figures.isEmpty { text += "\n" + table(figures) }
    return text
  }

  private func verdict(_ style: Style, _ troubles: [Trouble]) -> String {
    guard let active else {
      return style.red("● NOBODY SERVES") + (troubles.isEmpty ? "" : style.bold("  — see below"))
    }
    let epoch = (active.epoch ?? view?.epoch).map { ", epoch \($0)" } ?? ""
    let text = "\(active.node) is active\(epoch)"
    if troubles.contains(where: \.bad) {
      return style.red("● ") + style.bold(text) + style.red(", but something is broken")
    }
    let ready = nodeLines().filter { $0.isFresh && $0.state == "standby" && !$0.noPromote }.map(\.node)
    if !troubles.isEmpty { return style.yellow("● ") + style.bold(text) + style.yellow(", with warnings") }
    return style.green("● ") + style.bold(text) + "; ready to take over: \(ready.joined(separator: ", "))"
  }

  private func cells(_ line: NodeLine) -> [String] {
    let heard: String
    switch line.source {
    case "socket": heard = "this host"
    case "beat": heard = line.heardMilliseconds.map { "\(milliseconds($0)) ago" } ?? "never"
    default:
      let last = line.heardMilliseconds.map { "\(milliseconds($0)) ago" } ?? "?"
      heard = line.isFresh && line.state == "standby" ? "waits for the lock" : "last beat \(last)"
    }
    return [
      line.node, (line.isFresh ? line.state : "silent") + (line.noPromote ? ", no-promote" : ""),
      line.epoch.map { "\($0)" } ?? "-", line.databaseReachable.map { $0 ? "reachable" : "AWAY" } ?? "-",
      line.addressHeld.map { $0 ? "held" : "-" } ?? "-", heard,
    ]
  }

  private func figures() -> [[String]] {
    var rows: [[String]] = []
    if let own {
      let since = own.reason.isEmpty ? "" : ": \(own.reason)"
      rows.append(["\(own.node) since", milliseconds(Double(own.stateMilliseconds)) + since])
      if let left = own.leaseLeftMilliseconds {
        let took = own.database.beatMilliseconds.map { ", the last beat took \(milliseconds($0))" } ?? ""
        rows.append(["lease", "\(milliseconds(left)) left\(took)"])
      }
      for address in own.serviceAddresses {
        rows.append([
          "service IP", "\(address.address) on \(address.interface), \(address.held ? "held here" : "not here")",
        ])
      }
      let answered = own.database.lastAnswerMilliseconds.map { ", answered \(milliseconds($0)) ago" } ?? ""
      let trouble = own.database.error.map { ": \($0)" } ?? ""
      rows.append(["PostgreSQL", own.database.server + (own.database.reachable ? answered : " is away\(trouble)")])
      rows += own.peers.flatMap { peer in peer.links.map { ["link to \(peer.node)", linkText($0)] } }
      if own.isActive || own.listening { rows += ingestRows(own.ingest) }
    } else if let view {
      rows.append(["epoch", "\(view.epoch)" + (view.leader.map { ", promoted: \($0)" } ?? "")])
      rows.append(["lock", view.lockHolder.map { "held by \($0)" } ?? "held by nobody"])
    }
    if let successor = view?.successor ?? own?.successor { rows.append(["successor", successor]) }
    if let takeover = view?.lastTakeover ?? own?.lastTakeover {
      rows.append(["last takeover", "\(takeover.node), epoch \(takeover.epoch), \(takeover.at)"])
      if !takeover.phases.isEmpty { rows.append(["", phaseText(takeover.phases)]) }
    }
    if let own {
      rows.append([
        "process",
        "pid \(own.pid), up \(milliseconds(own.process.uptimeSeconds * 1000)), "
          + "\(own.process.residentKilobytes >> 10) MiB resident, version \(own.version)",
      ])
    }
    return rows
  }

  private func linkText(_ link: NodeStatus.Link) -> String {
    let heard = link.lastHeardMilliseconds.map { "heard \(milliseconds($0)) ago" } ?? "never heard"
    let trip = link.roundTripMilliseconds.map { ", round trip \(milliseconds($0))" } ?? ""
    let dropped = link.dropped.filter { $0.value > 0 }.sorted { $0.key < $1.key }
      .map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    return "\(link.link), \(heard)\(trip)" + (dropped.isEmpty ? "" : ", dropped: \(dropped)")
  }

  private func ingestRows(_ ingest: NodeStatus.Ingest) -> [[String]] {
    let connections = ingest.connections.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    var rows = [
      [
        "intake",
        "\(grouped(Int64(max(0, min(ingest.recordsPerSecond, 1e15))))) records/s, connections: "
          + (connections.isEmpty ? "none" : connections.joined(separator: ", ")),
      ],
      [
        "",
        "\(grouped(ingest.acknowledged)) acknowledged, \(grouped(ingest.rejected)) rejected, "
          + "\(grouped(ingest.shed)) shed, \(bytes(ingest.bufferedBytes)) of \(bytes(ingest.bufferLimitBytes)) buffered",
      ],
    ]
    if ingest.deliveriesUnderWay > 0 || ingest.deliveries.values.contains(where: { $0 > 0 }) {
      let ends = ["stored", "repeated", "refused", "unavailable"].map { "\(grouped(ingest.deliveries[$0] ?? 0)) \($0)" }
      rows.append(["deliveries", ends.joined(separator: ", ") + ", \(ingest.deliveriesUnderWay) under way"])
    }
    let slow = ingest.lanes.map { lane in
      "lane \(lane.lane) \(lane.state)" + (lane.lastCommitMilliseconds.map { " (commit \(milliseconds($0)))" } ?? "")
        + (lane.retries > 0 ? ", \(lane.retries) retries" : "")
    }
    if !slow.isEmpty { rows.append(["lanes", slow.joined(separator: "; ")]) }
    return rows
  }
}
