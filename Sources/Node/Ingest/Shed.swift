// What had to be dropped, counted until it is written down in `ingest.shed`.

struct ShedRow: Equatable, Sendable {
  var listener: String
  var source: String
  var reason: String
  var messages: Int
  var bytes: Int
}

/// Bounded: the last row takes what has none of its own.
struct ShedCounts {
  private(set) var rows: [ShedRow] = []
  var isEmpty: Bool { rows.isEmpty }

  mutating func add(_ listener: String, _ source: String, _ reason: String, messages: Int, bytes: Int) {
    let found = rows.firstIndex { $0.listener == listener && $0.source == source && $0.reason == reason }
    if let index = found ?? (rows.count < 256 ? nil : rows.indices.last) {
      rows[index].messages += messages
      rows[index].bytes += bytes
    } else {
      rows.append(ShedRow(listener: listener, source: source, reason: reason, messages: messages, bytes: bytes))
    }
  }
}
