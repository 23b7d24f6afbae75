// What the tests of this target share: rows read back from COPY bytes, and a whole decoder in one call.
@testable import Telemetry
import Testing

/// A row by column name; texts as they are, numbers in decimal, jsonb without its version byte, NULL left out.
typealias Row = [String: String]

/// Reads the rows of one table from binary COPY bytes without header and trailer, checking their form.
func readRows(_ table: Table, _ bytes: [UInt8]) throws -> [Row] {
  let columns = "\(table.columns)".split(separator: ",").map(String.init)
  var at = 0
  func integer(_ size: Int) -> Int64 {
    var value: Int64 = bytes[at] >= 0x80 ? -1 : 0
    for byte in bytes[at..<at + size] { value = value << 8 | Int64(byte) }
    at += size
    return value
  }
  var rows: [Row] = []
  while at < bytes.count {
    try #require(integer(2) == Int64(columns.count))
    var row: Row = [:]
    for column in columns {
      let size = Int(integer(4))
      if size < 0 { continue }
      switch column {
      case "txn", "message", "source", "reason", "name", "method", "path", "client", "session", "referrer", "agent":
        let text = String(validating: bytes[at..<at + size], as: UTF8.self)
        let valid: String = try #require(text)
        row[column] = valid
        at += size
      case "raw":
        row[column] = String(decoding: bytes[at..<at + size], as: UTF8.self)
        at += size
      case "attrs", "labels":
        try #require(bytes[at] == 1)
        let text = String(validating: bytes[at + 1..<at + size], as: UTF8.self)
        let valid: String = try #require(text)
        row[column] = valid
        at += size
      case "trace_id":
        try #require(size == 16)
        row[column] = bytes[at..<at + 16].map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        at += size
      case "value", "cpu": row[column] = "\(Double(bitPattern: UInt64(bitPattern: integer(8))))"
      case "severity", "kind", "code":
        try #require(size == 2)
        row[column] = "\(integer(2))"
      default:
        try #require(size == 8)
        row[column] = "\(integer(8))"
      }
    }
    rows.append(row)
  }
  return rows
}

/// All rows of a batch, by table, and the names it holds.
struct Contents: Equatable {
  var rows: [Table: [Row]] = [:]
  var names: [String: String] = [:]
  var claims: [Claim] = []
  var rejects: [Reject] = []

  init(_ batch: borrowing Batch) throws {
    for slice in batch.slices(of: 0..<batch.rowCount) {
      rows[slice.table] = try readRows(slice.table, unsafe batch.withBytes(of: slice) { unsafe Array($0) })
      #expect(rows[slice.table]?.count == slice.rows)
    }
    for row in try readRows(.name, unsafe batch.withBytes(of: batch.nameSlice) { unsafe Array($0) }) {
      names["\(row["kind"] ?? "")/\(row["id"] ?? "")"] = row["name"]
    }
    claims = batch.claims
    rejects = batch.rejects
  }
  subscript(table: Table) -> [Row] { rows[table] ?? [] }
  func name(_ kind: NameKind, _ id: String?) -> String? { names["\(kind.rawValue)/\(id ?? "")"] }
}

/// One connection with everything behind it.
struct Connection: ~Copyable {
  var decoder: NativeDecoder
  var session: NativeSession
  var buffer: LineBuffer
  var batch = Batch()
  var actions: [NativeSession.Action] = []
  var stops: [Decoded] = []

  /// A connection whose stream is welcomed (with `committed`), or without stream when `committed` is nil.
  init(
    committed: Int64? = 0, window: TimeWindow = TimeWindow(from: .min, until: .max), maxLine: Int = 65_536,
    maximumCapacity: Int = 262_144, records: Int64 = 65_536, allowsAnonymous: Bool = false
  ) {
    decoder = NativeDecoder(window: window, maxLine: maxLine, namesLog2: 10)
    session = NativeSession(
      peer: "192.0.2.1",
      limits: NativeLimits(node: "a", epoch: 12, window: records, maxLine: maxLine, allowsAnonymous: allowsAnonymous))
    buffer = LineBuffer(initialCapacity: 64, maximumCapacity: maximumCapacity)
    if let committed {
      feed(Hello(source: "mes-07", stream: "s1", oldest: 1).line)
      actions += session.lookedUp(committed: committed)
    }
  }
  /// Everything is decoded as far as the session allows.
  mutating func feed(_ bytes: [UInt8]) {
    var rest = bytes[...]
    repeat {
      let count = buffer.append(Array(rest).span)
      rest = rest.dropFirst(count)
      while session.mayDecode {
        let stop = decoder.decode(&buffer, &session.cursor, into: &batch, rowLimit: 1 << 20, byteLimit: 1 << 28)
        stops.append(stop)
        actions += session.decoded(stop)
        if stop == .incomplete || stop == .full || stop == .windowFull { break }
      }
      if count == 0 { break }
    } while !rest.isEmpty
  }
  mutating func feed(_ text: String) { feed(Array(text.utf8)) }
}

/// µs since 2000 of 2026-11-20T09:00:00Z.
let nine: Int64 = 848_480_400_000_000

/// The rest of a line behind seq and type, for a plain queue record.
let plain = #""ts":"2026-11-20T09:00:00Z","host":"h","app":"a","queue":"q","depth":1}"#
func queueLine(_ seq: Int64) -> String { #"{"seq":\#(seq),"type":"queue",\#(plain)"# + "\n" }
