// The page of `hactl watch`: a line for each family of metrics and what it is of, with units.
internal import FoundationEssentials
internal import Node

struct WatchPage {
  struct Metric: Equatable {
    var name: String
    var labels: [String: String]
    var value: Double
  }
  var host: String
  var time: String
  /// Seconds since the newest sample.
  var age: Double?
  var metrics: [Metric]
  /// Cells of a table.
  var processes: [[String]]

  /// `rows`: the most there is room for; nil: as many as it takes.
  func lines(columns: Int, rows: Int?, _ style: Style) -> [String] {
    guard let age else {
      return [
        style.bold("\(host)  \(time)"),
        "no sample in 30 s: is standwatch-agent running there, and is \"\(host)\" its name in records?",
      ]
    }
    var lines = ["\(host)  \(time)  newest sample \((age * 100).rounded() / 100) s old"] + metricLines(columns)
    if !processes.isEmpty {
      let head = ["PROCESS", "STATE", "CPU", "MEMORY", "THREADS", "RESTARTS"]
      lines += [""] + table([head] + processes, indent: "").split(separator: "\n").map(String.init)
    }
    if let rows, rows > 1, lines.count > rows {
      let left = lines.count - rows + 1
      lines = Array(lines.prefix(rows - 1)) + ["… \(left) more lines"]
    }
    if rows != nil { lines = lines.map { $0.count > columns ? String($0.prefix(max(0, columns - 1))) + "…" : $0 } }
    if let first = lines.first { lines[0] = style.bold(first) }
    return lines
  }

  /// `disk sda   reads 3 /s  read_bytes 12 KiB/s`: cells are broken at the width.
  private func metricLines(_ columns: Int) -> [String] {
    var families: [(title: String, cells: [String])] = []
    var places: [String: Int] = [:]
    for metric in metrics {
      let dot = metric.name.lastIndex(of: ".")
      let family = dot.map { String(metric.name[..<$0]) } ?? metric.name
      let last = dot.map { String(metric.name[metric.name.index(after: $0)...]) } ?? "value"
      let title = singleLine([family, label(metric.labels)].filter { !$0.isEmpty }.joined(separator: " "))
      let place = places[title] ?? families.count
      if place == families.count {
        places[title] = place
        families.append((title, []))
      }
      families[place].cells.append("\(singleLine(last)) \(withUnit(metric))")
    }
    families.sort { $0.title < $1.title }
    let width = min(families.map(\.title.count).max() ?? 0, 32)
    var lines: [String] = []
    for family in families {
      var line = family.title + String(repeating: " ", count: max(0, width - family.title.count))
      var isEmpty = true
      for cell in family.cells {
        if !isEmpty, line.count + 2 + cell.count > columns {
          lines.append(line)
          line = String(repeating: " ", count: width)
        }
        line += "  " + cell
        isEmpty = false
      }
      lines.append(line)
    }
    return lines
  }

  /// What tells a metric from its siblings in the fewest words.
  private func label(_ labels: [String: String]) -> String {
    for name in ["mount", "device", "interface", "core"] {
      if let value = labels[name] { return value }
    }
    return labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }
}

/// The agent's metrics by their names (ha/AGENT.md); of others, what the name's ending says.
func withUnit(_ metric: WatchPage.Metric) -> String {
  let name = metric.name
  let value = metric.value
  if !value.isFinite { return "?" }
  let isRate = name.hasPrefix("disk.") || name.hasPrefix("net.")
  if name.hasSuffix("_percent") || name.hasPrefix("cpu.") || name.hasPrefix("pressure.") || name == "disk.busy" {
    return short(value) + " %"
  }
  let isSpace = ["filesystem.total", "filesystem.used", "filesystem.available"].contains(name)
  if name.hasSuffix("bytes") || name.hasPrefix("memory.") || name.hasPrefix("swap.") || isSpace {
    return (value.magnitude < 9e18 ? bytes(Int64(value)) : short(value)) + (isRate ? "/s" : "")
  }
  if name.hasSuffix("_ms") { return milliseconds(value) }
  if name.hasSuffix("seconds"), !name.hasSuffix("milliseconds") { return milliseconds(value * 1000) }
  if isRate && name != "disk.queue" || ["processes.forks", "system.context_switches"].contains(name) {
    return short(value) + "/s"
  }
  return short(value)
}

/// 0.31, 12.4, 1 234
func short(_ value: Double) -> String {
  if !(value.magnitude < 1e15) { return "\(value)" }
  if value.magnitude >= 100 { return grouped(Int64(value.rounded())) }
  return value.magnitude < 1 ? hundredths(value) : tenths(value)
}
private func hundredths(_ value: Double) -> String {
  let rounded = (value * 100).rounded() / 100
  return rounded == rounded.rounded() && rounded.magnitude < 1e15 ? "\(Int64(rounded))" : "\(rounded)"
}

/// An object of texts and numbers; anything else in it is left out.
func labels(json: String?) -> [String: String] {
  // Labels that are no texts are not ours to show.
  (try? JSONDecoder().decode([String: String].self, from: Data((json ?? "{}").utf8))) ?? [:]
}
