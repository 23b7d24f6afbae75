// Oracles of records: what a decoder gave is a row or refused, and printed as a line and parsed again it is the same row.
@testable import Telemetry

/// As the node sets it: some years back, a day ahead.
let acceptedTimes = TimeWindow(from: nine - 315_360_000_000_000, until: nine + 86_400_000_000)

/// The rows of records, each refused one counted.
private func rows(of records: ArraySlice<Record>) throws(Broken) -> (Rows, refused: [Bool]) {
  var names = Names(capacityLog2: 10)
  names.quota.begin("fuzz")
  var batch = Batch()
  var refused: [Bool] = []
  for record in records {
    switch batch.add(
      record, stream: Batch.noStream, seq: 0, names: &names, window: acceptedTimes, source: "fuzz")
    {
    case .taken: refused.append(false)
    case .refused: refused.append(true)
    }
  }
  return (try Rows(batch, acceptedTimes), refused)
}

/// Checks a prefix of the records: PostgreSQL takes their rows, and their lines are the same rows.
func check(_ records: [Record]) throws(Broken) {
  let some = records.prefix(64)
  let (direct, refused) = try rows(of: some)
  for (record, isRefused) in zip(some, refused) {
    let one = try rows(of: [record]).0
    var line: [UInt8] = []
    record.appendLine(to: &line)
    try hold(line.last == 0x0a && line.dropLast().allSatisfy { $0 >= 0x20 }, "a line is \(printable(line))")
    if line.count > 60_000 { continue }
    let parsed = try parse(line)
    let printed = "\(record) was printed as \(printable(line))"
    if isRefused {
      // A zero character, which no row can have, is printed as U+FFFD.
      if String(decoding: line, as: UTF8.self).unicodeScalars.contains("\u{fffd}") { continue }
      try hold(parsed.tables[.rejected] != nil, "a refused record is taken as a line: \(printed)")
    } else {
      try hold(parsed == one, "\(printed), which is\n\(parsed)\nand not\n\(one)")
    }
  }
  try hold(direct.count == some.count, "\(some.count) records are \(direct.count) rows")
}

/// What a node makes of a line.
private func parse(_ line: [UInt8]) throws(Broken) -> Rows {
  guard let lines = NativeLines(line, limit: 2) else { throw Broken("one line is more than two") }
  try hold(lines.count == 1, "a record is \(lines.count) lines: \(printable(line))")
  var delivery = Delivery(key: nil, source: "fuzz", records: [])
  delivery.lines = lines
  return try check(delivery)
}

/// The rows of a whole delivery: everything that counts is one.
@discardableResult
func check(_ delivery: Delivery) throws(Broken) -> Rows {
  var encoder = DeliveryEncoder(window: acceptedTimes, namesLog2: 10)
  var batch = Batch()
  var rejects: [DeliveryReject] = []
  let end = encoder.add(delivery, from: 0, into: &batch, rowLimit: 4096, byteLimit: 1 << 24, rejects: &rejects)
  try hold(batch.rowCount == end, "\(end) records are \(batch.rowCount) rows")
  return try Rows(batch, acceptedTimes)
}

/// What a session of a TCP protocol did: everything in its order, but each kind for itself, as an outcome comes at
/// another time when bytes come at another time.
struct SessionTrace: Equatable, CustomStringConvertible {
  var records: [Record] = []
  var faults: [DeliveryFault] = []
  var keys: [[UInt8]?] = []
  var sent: [UInt8] = []
  var closed: [String] = []
  private var numbers: [Int] = []

  mutating func note(_ actions: [DeliveryAction]) {
    for action in actions {
      switch action {
      case .send(let bytes): sent += bytes
      case .close(let reason): closed.append(reason)
      case .deliver(let number, let delivery):
        numbers.append(number)
        keys.append(delivery.key)
        records += delivery.records
        faults += delivery.faults
      }
    }
  }
  /// How many are not answered.
  var open: Int { numbers.count }
  /// Deliveries to be answered.
  mutating func takeNumbers() -> [Int] {
    defer { numbers = [] }
    return numbers
  }
  var description: String {
    "records \(records)\nfaults \(faults)\nkeys \(keys)\nsent \(printable(sent))\nclosed \(closed)"
  }
}
