// When each target is scraped: a grid that is the same on every node, so that a takeover changes no target's rhythm.
internal import Telemetry

/// Times are milliseconds since 1970. Targets are spread over their interval by a hash of their URL.
struct ScrapeSchedule: Equatable, Sendable {
  private struct Line: Equatable {
    var interval: Int64
    var phase: Int64
    var next: Int64
  }
  private var lines: [Line]

  init(_ targets: [NodeConfiguration.Scrape.Target], now: Int64) {
    lines = targets.map {
      let phase = NameHash.id(of: $0.url.utf8) % $0.intervalMilliseconds
      return Line(interval: $0.intervalMilliseconds, phase: phase, next: 0)
    }
    restart(now: now)
  }
  /// The next slot of every target is its first one after `now`.
  mutating func restart(now: Int64) {
    for index in lines.indices { lines[index].next = slot(lines[index], after: now) }
  }
  /// The targets whose time has come, the longest due first; each is due again in its next slot. Slots that were slept
  /// through are left out, and a clock that went back makes nobody wait for longer than an interval.
  mutating func takeDue(now: Int64) -> [Int] {
    var due: [(index: Int, since: Int64)] = []
    for index in lines.indices {
      let line = lines[index]
      if line.next <= now { due.append((index, line.next)) }
      if line.next <= now || line.next > now + line.interval { lines[index].next = slot(line, after: now) }
    }
    return due.sorted { ($0.since, $0.index) < ($1.since, $1.index) }.map(\.index)
  }
  var next: Int64? { lines.map(\.next).min() }

  private func slot(_ line: Line, after now: Int64) -> Int64 {
    let since = max(0, now - line.phase)
    return (since / line.interval + 1) * line.interval + line.phase
  }
}
