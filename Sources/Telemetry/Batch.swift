// What one transaction writes: rows of all tables, the claims that cover them, and the names they need.

/// Records `first...last` of a stream.
public struct Claim: Equatable, Sendable {
  public var stream: Int64
  public var first: Int64
  public var last: Int64
  public init(stream: Int64, first: Int64, last: Int64) {
    (self.stream, self.first, self.last) = (stream, first, last)
  }
}

/// A refused record, for the sender's `reject` line, to be sent when its batch has committed.
public struct Reject: Equatable, Sendable {
  public var stream: Int64
  public var seq: Int64
  public var reason: String
  public init(stream: Int64, seq: Int64, reason: String) {
    (self.stream, self.seq, self.reason) = (stream, seq, reason)
  }
}

/// Contiguous rows of one table: what one COPY sends between header and trailer.
public struct TableSlice: Equatable, Sendable {
  public var table: Table
  /// In the table's CopyBuffer.
  public var bytes: Range<Int>
  public var rows: Int
  public init(table: Table, bytes: Range<Int>, rows: Int) {
    (self.table, self.bytes, self.rows) = (table, bytes, rows)
  }
}

/// Rows in the order in which they came, so that any prefix of them is a smaller batch of its own (bisection).
///
/// Bounded by its owner: it stops adding at `byteCount` or `rowCount`; one record adds at most its line's length plus
/// 1 KiB. `removeAll` keeps the memory for the next batch.
public struct Batch: ~Copyable {
  /// Stream of rows that have none (senders without `hello`, syslog): they need no claim.
  public static let noStream: Int64 = -1

  private struct Row {
    var stream: Int64
    var seq: Int64
    var offset: UInt32
    /// Length in the upper 27 bits, then whether it tells of a failure, and the table in the lower 4.
    var lengthAndTable: UInt32
    @inline(__always) var table: Int { Int(lengthAndTable & 15) }
    @inline(__always) var length: Int { Int(lengthAndTable >> 5) }
  }
  private var rows: [Row] = []
  private var queue = CopyBuffer()
  private var step = CopyBuffer()
  private var job = CopyBuffer()
  private var metric = CopyBuffer()
  private var log = CopyBuffer()
  private var event = CopyBuffer()
  private var process = CopyBuffer()
  private var web = CopyBuffer()
  private var span = CopyBuffer()
  private var rejected = CopyBuffer()
  private var names = CopyBuffer()
  /// Always empty: rollups are made when rows are sent.
  private var rollups = CopyBuffer()
  /// New names in `Table.name`; they are written in an earlier transaction of their own.
  public private(set) var nameCount = 0
  /// Bytes of all tables.
  public private(set) var byteCount = 0
  /// Refused records among the rows, in order.
  public private(set) var rejects: [Reject] = []
  /// Deliveries among the rows, in order (DeliveryParts.swift).
  public private(set) var parts: [DeliveryPart] = []
  private var loader: RecordLoader?

  public init() {}

  /// Rows of all tables except names: records taken and refused.
  public var rowCount: Int { rows.count }
  public var isEmpty: Bool { rows.isEmpty && nameCount == 0 }
  /// New names that one transaction can store in time: each costs far more than a row, and whoever invents names in
  /// every record must not hold up the lane.
  public static let mostNames = 2000
  public var isFullOfNames: Bool { nameCount >= Batch.mostNames }

  public mutating func removeAll() {
    rows.removeAll(keepingCapacity: true)
    rejects.removeAll()
    parts.removeAll()
    (byteCount, nameCount) = (0, 0)
    for table in Table.allCases { withBuffer(of: table) { $0.removeAll() } }
  }
  /// Gives all memory back.
  public mutating func releaseMemory() {
    removeAll()
    rows = []
    for table in Table.allCases { withBuffer(of: table) { $0.releaseMemory() } }
  }

  /// Claims that cover the rows of `range`, sorted by stream.
  ///
  /// The rows of a stream are consecutive in `seq`: the decoder saw to that.
  public func claims(of range: Range<Int>) -> [Claim] {
    var runs: [Claim] = []
    for row in rows[range] where row.stream != Batch.noStream {
      if let last = runs.indices.last, runs[last].stream == row.stream {
        runs[last].last = row.seq
      } else {
        runs.append(Claim(stream: row.stream, first: row.seq, last: row.seq))
      }
    }
    return Batch.merged(runs)
  }
  static func merged(_ runs: [Claim]) -> [Claim] {
    var merged: [Claim] = []
    for run in runs.sorted(by: { ($0.stream, $0.first) < ($1.stream, $1.first) }) {
      // Runs that don't join stay apart: ingest.take refuses them, which harms less than a trap.
      if let last = merged.indices.last, merged[last].stream == run.stream, run.first == merged[last].last + 1 {
        merged[last].last = run.last
      } else {
        merged.append(run)
      }
    }
    return merged
  }
  public var claims: [Claim] { claims(of: 0..<rows.count) }

  /// What to copy for the rows of `range`; tables without rows are left out.
  public func slices(of range: Range<Int>) -> [TableSlice] {
    var slices: [TableSlice?] = Array(repeating: nil, count: Table.allCases.count)
    for row in rows[range] {
      let table = row.table
      let end = Int(row.offset) + row.length
      if slices[table] == nil, let name = Table(rawValue: UInt8(table)) {
        slices[table] = TableSlice(table: name, bytes: Int(row.offset)..<end, rows: 1)
      } else if let begun = slices[table] {
        slices[table]?.bytes = begun.bytes.lowerBound..<end
        slices[table]?.rows += 1
      }
    }
    return slices.compactMap { $0 }
  }
  /// The new names; sent before `SELECT telemetry.store_names()`.
  public var nameSlice: TableSlice { TableSlice(table: .name, bytes: 0..<names.count, rows: nameCount) }
  /// Names are stored: not to be sent again when the rows are.
  public mutating func namesWereStored() {
    byteCount -= names.count
    names.removeAll()
    nameCount = 0
  }

  /// Lends the bytes of a slice.
  public func withBytes<R: ~Copyable, E: Error>(
    of slice: TableSlice, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    switch slice.table {
    case .queue: try unsafe queue.withBytes(slice.bytes, body)
    case .step: try unsafe step.withBytes(slice.bytes, body)
    case .job: try unsafe job.withBytes(slice.bytes, body)
    case .metric: try unsafe metric.withBytes(slice.bytes, body)
    case .log: try unsafe log.withBytes(slice.bytes, body)
    case .event: try unsafe event.withBytes(slice.bytes, body)
    case .process: try unsafe process.withBytes(slice.bytes, body)
    case .web: try unsafe web.withBytes(slice.bytes, body)
    case .span: try unsafe span.withBytes(slice.bytes, body)
    case .rejected: try unsafe rejected.withBytes(slice.bytes, body)
    case .rollup: try unsafe rollups.withBytes(slice.bytes, body)
    case .name: try unsafe names.withBytes(slice.bytes, body)
    }
  }

  /// Calls `body` with the bytes of a table's buffer and where each row of `ranges` in it begins and ends.
  @inline(__always) func withRows(
    of slice: TableSlice, _ ranges: [Range<Int>], _ body: (_ row: Int, RawSpan, Int, Int, _ isFailure: Bool) -> Void
  ) {
    let table = Int(slice.table.rawValue)
    let whole = TableSlice(table: slice.table, bytes: 0..<slice.bytes.upperBound, rows: slice.rows)
    // Sound: the buffer lends initialized bytes for the time of the call.
    unsafe withBytes(of: whole) { buffer in
      let bytes = unsafe RawSpan(_unsafeBytes: buffer)
      for range in ranges {
        for index in range where rows[index].table == table {
          let row = rows[index]
          let start = Int(row.offset)
          body(index, bytes, start, start &+ row.length, row.lengthAndTable & 16 != 0)
        }
      }
    }
  }

  /// Stream (`noStream` without one) and seq of a row.
  public func origin(ofRow index: Int) -> (stream: Int64, seq: Int64) { (rows[index].stream, rows[index].seq) }

  /// For a row that PostgreSQL refused: a row of `ingest.rejected` to be copied in its place, under the claim of
  /// `index..<index + 1`. What is kept as `raw` is the refused row in COPY format, behind the reason.
  public func poisonRow(_ index: Int, source: String, reason: String) -> [UInt8] {
    let row = rows[index]
    guard let slice = slices(of: index..<index + 1).first else { return [] }
    let raw = unsafe withBytes(of: slice) { unsafe Array($0) }
    var buffer = CopyBuffer()
    // Sound: bytes of UInt8 have no padding.
    unsafe Batch.putRejected(
      stream: row.stream, seq: row.seq, source: source, reason: "\(slice.table.name): \(reason)", raw: raw.span.bytes,
      into: &buffer)
    return buffer.bytes
  }

  // MARK: adding

  /// Says that the rows of `part`, the last ones, belong to a delivery.
  public mutating func note(_ part: DeliveryPart) {
    precondition(part.rows.upperBound == rows.count && part.rows.lowerBound >= parts.last?.rows.upperBound ?? 0)
    if !part.rows.isEmpty { parts.append(part) }
  }
  /// Adds the row that `put` writes to the buffer of `table`; `isFailure` is what rollups count as an error.
  @inline(__always) mutating func add(
    _ table: Table, stream: Int64, seq: Int64, isFailure: Bool = false, _ put: (inout CopyBuffer) -> Void
  ) {
    withBuffer(of: table) { buffer, rows, byteCount in
      let offset = buffer.count
      put(&buffer)
      let length = buffer.count &- offset
      byteCount &+= length
      rows.append(
        Row(
          stream: stream, seq: seq, offset: UInt32(truncatingIfNeeded: offset),
          lengthAndTable: UInt32(truncatingIfNeeded: length) << 5 | (isFailure ? 16 : 0) | UInt32(table.rawValue)))
    }
  }
  /// Adds a refused record. `stream` may be `noStream`, and `seq` then 0; `raw` is cut at 64 KiB.
  mutating func addRejected(stream: Int64, seq: Int64, source: String, reason: String, raw: RawSpan) {
    let raw = raw.extracting(first: 65_536)
    add(.rejected, stream: stream, seq: seq) {
      Batch.putRejected(stream: stream, seq: seq, source: source, reason: reason, raw: raw, into: &$0)
    }
    if stream != Batch.noStream { rejects.append(Reject(stream: stream, seq: seq, reason: reason)) }
  }
  /// The loader is out of the batch while it writes into it.
  mutating func takeLoader() -> RecordLoader { loader.take() ?? RecordLoader() }
  mutating func keep(_ loader: consuming RecordLoader) { self.loader = consume loader }

  mutating func addName(_ kind: NameKind, _ id: Int64, _ name: RawSpan) {
    let before = names.count
    names.reserve(name.byteCount + 32)
    names.putColumnCount(Table.name.columnCount)
    names.put(Int16(kind.rawValue))
    names.put(id)
    names.put(name)
    byteCount += names.count - before
    nameCount += 1
  }
  private static func putRejected(
    stream: Int64, seq: Int64, source: String, reason: String, raw: RawSpan, into buffer: inout CopyBuffer
  ) {
    // Both texts are ours or checked already; no zero byte may get into a text column.
    let source = Array(source.utf8).map { $0 == 0 ? 0x3f : $0 }
    let reason = Array(reason.utf8).map { $0 == 0 ? 0x3f : $0 }
    buffer.reserve(source.count + reason.count + raw.byteCount + 64)
    buffer.putColumnCount(Table.rejected.columnCount)
    buffer.put(stream, if: stream != noStream)
    buffer.put(seq, if: stream != noStream)
    buffer.put(source)
    buffer.put(reason)
    buffer.put(raw)
  }

  private mutating func withBuffer(of table: Table, _ body: (inout CopyBuffer) -> Void) {
    withBuffer(of: table) { buffer, _, _ in body(&buffer) }
  }
  @inline(__always) private mutating func withBuffer(
    of table: Table, _ body: (inout CopyBuffer, inout [Row], inout Int) -> Void
  ) {
    switch table {
    case .queue: body(&queue, &rows, &byteCount)
    case .step: body(&step, &rows, &byteCount)
    case .job: body(&job, &rows, &byteCount)
    case .metric: body(&metric, &rows, &byteCount)
    case .log: body(&log, &rows, &byteCount)
    case .event: body(&event, &rows, &byteCount)
    case .process: body(&process, &rows, &byteCount)
    case .web: body(&web, &rows, &byteCount)
    case .span: body(&span, &rows, &byteCount)
    case .rejected: body(&rejected, &rows, &byteCount)
    case .rollup: body(&rollups, &rows, &byteCount)
    case .name: body(&names, &rows, &byteCount)
    }
  }
}
