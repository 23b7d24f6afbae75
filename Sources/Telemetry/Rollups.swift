// The rollups of the rows that one transaction writes: per minute, measure, application, host and key.
//
// They are made from the COPY rows themselves when those are sent, so that they are of exactly what is stored, whatever
// part of a batch that is. A measure without a key of its own in the row has none; refused records count nowhere.

/// What is rolled up; the raw value is the id in `telemetry.measure` and PERMANENT.
public enum Measure: Int16, CaseIterable, Sendable {
  case queueDepth = 1, queueEnqueued, queueDequeued, queueOldest
  case step, job, metric
  case processCPU, processMemory
  case log, web, span, event
}

/// Makes rows of `telemetry.rollup_delta`. Owned by one thread, used for one transaction after the other; its memory is
/// bounded by the rows of a batch, of which each has at most four values.
public struct RollupBuilder: ~Copyable {
  private struct Entry {
    var minute: Int64
    var app: Int64
    var host: Int64
    var key: Int64
    var measure: Measure
    var n: Int64 = 0
    var errors: Int64 = 0
    /// Records among `n` that have a value.
    var values: Int64 = 0
    var sum = 0.0
    var least = Double.infinity
    var greatest = -Double.infinity
  }
  /// How many values of an entry are in a bucket.
  private struct Cell {
    var entry: UInt32
    var bucket: Int32
    var count: Int64
    /// By entry, then by bucket.
    var order: UInt64 { UInt64(entry) << 32 | UInt64(UInt32(bitPattern: bucket) ^ 0x8000_0000) }
  }
  private var entries: [Entry] = []
  private var cells: [Cell] = []
  /// Open addressing: index in `entries` or `cells` plus one, 0 where nothing is. At most half full.
  private var entrySlots: [UInt32] = Array(repeating: 0, count: 1024)
  private var cellSlots: [UInt32] = Array(repeating: 0, count: 1024)
  private var rows = CopyBuffer()
  /// Beginning of the minute that was asked for last: most rows share it.
  private var minute: Int64 = 0
  private static let minuteMicroseconds: Int64 = 60_000_000

  public init() {}

  /// Rows made.
  public var rowCount: Int { entries.count }
  /// Lends the rows, without header and trailer.
  public func withBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try unsafe rows.withBytes(0..<rows.count, body)
  }

  mutating func begin() {
    entries.removeAll(keepingCapacity: true)
    cells.removeAll(keepingCapacity: true)
    for i in entrySlots.indices { entrySlots[i] = 0 }
    for i in cellSlots.indices { cellSlots[i] = 0 }
    rows.removeAll()
  }

  /// Counts one row of `table`, which begins at `at`, ends before `end`, and is as RowEncoding.swift writes it.
  ///
  /// Columns that can't be NULL stand at fixed places: two bytes, then four of length and eight of value each. Reading
  /// eight bytes where a column begins is always inside: there is none that nothing follows.
  @inline(__always) mutating func add(_ table: Table, _ bytes: RawSpan, _ at: Int, end: Int, isFailure: Bool) {
    noteMinute(value(bytes, at &+ 6))
    let (app, host) = (value(bytes, at &+ 18), value(bytes, at &+ 30))
    // The fourth column, of most tables the key.
    let key = value(bytes, at &+ 42)
    switch table {
    case .queue:
      let mix = RollupBuilder.mix(minute, app, host, key)
      count(.queueDepth, app, host, key, mix, false, Double(value(bytes, at &+ 54)), isSketched: true)
      var column = at &+ 62
      counter(.queueEnqueued, app, host, key, mix, bytes, &column, isSketched: false)
      counter(.queueDequeued, app, host, key, mix, bytes, &column, isSketched: false)
      skip(bytes, &column)
      counter(.queueOldest, app, host, key, mix, bytes, &column, isSketched: true)
    case .step:
      let elapsed: Double? = isNull(bytes, at &+ 62) ? nil : Double(value(bytes, at &+ 66))
      count(.step, app, host, key, isFailure, elapsed)
    case .job: count(.job, app, host, key, isFailure, Double(value(bytes, at &+ 66)))
    case .metric: count(.metric, app, host, key, false, double(bytes, at &+ 54))
    case .log: count(.log, app, host, value(bytes, end &- 8), isFailure, nil)
    case .event: count(.event, app, host, key, false, nil)
    case .process:
      var column = at &+ 62
      for _ in 0..<3 { skip(bytes, &column) }
      if !isNull(bytes, column) { count(.processCPU, app, host, key, false, double(bytes, column &+ 4)) }
      skip(bytes, &column)
      if !isNull(bytes, column) { count(.processMemory, app, host, key, false, Double(value(bytes, column &+ 4))) }
    case .web:
      let code = value(bytes, at &+ 42) >> 48
      var column = at &+ 44
      skip(bytes, &column)
      let duration: Double? = isNull(bytes, column) ? nil : Double(value(bytes, column &+ 4))
      count(.web, app, host, code, isFailure, duration)
    case .span: count(.span, app, host, key, isFailure, Double(value(bytes, at &+ 66)))
    case .rejected, .name, .rollup: return
    }
  }

  // MARK: columns

  @inline(__always) private func value(_ bytes: RawSpan, _ at: Int) -> Int64 {
    Int64(bitPattern: word(bytes, at).byteSwapped)
  }
  @inline(__always) private func double(_ bytes: RawSpan, _ at: Int) -> Double {
    Double(bitPattern: word(bytes, at).byteSwapped)
  }
  /// `at` is where the column begins: its length, -1 when it is NULL.
  @inline(__always) private func isNull(_ bytes: RawSpan, _ at: Int) -> Bool { byte(bytes, at) == 0xff }
  /// Behind a column of eight bytes.
  @inline(__always) private func skip(_ bytes: RawSpan, _ at: inout Int) { at &+= isNull(bytes, at) ? 4 : 12 }

  // MARK: counting

  @inline(__always) private mutating func noteMinute(_ time: Int64) {
    if time >= minute && time &- minute < RollupBuilder.minuteMicroseconds { return }
    var within = time % RollupBuilder.minuteMicroseconds
    if within < 0 { within &+= RollupBuilder.minuteMicroseconds }
    minute = time &- within
  }
  @inline(__always) private static func mix(_ minute: Int64, _ app: Int64, _ host: Int64, _ key: Int64) -> UInt64 {
    var hash = NameHash()
    hash.add(UInt64(bitPattern: minute ^ app))
    hash.add(UInt64(bitPattern: host))
    hash.add(UInt64(bitPattern: key))
    return UInt64(bitPattern: hash.finish(count: 0))
  }
  @inline(__always) private mutating func counter(
    _ measure: Measure, _ app: Int64, _ host: Int64, _ key: Int64, _ mix: UInt64, _ bytes: RawSpan, _ at: inout Int,
    isSketched: Bool
  ) {
    if !isNull(bytes, at) {
      count(measure, app, host, key, mix, false, Double(value(bytes, at &+ 4)), isSketched: isSketched)
    }
    skip(bytes, &at)
  }
  @inline(__always) private mutating func count(
    _ measure: Measure, _ app: Int64, _ host: Int64, _ key: Int64, _ isFailure: Bool, _ value: Double?
  ) {
    count(
      measure, app, host, key, RollupBuilder.mix(minute, app, host, key), isFailure, value, isSketched: true)
  }
  @inline(__always) private mutating func count(
    _ measure: Measure, _ app: Int64, _ host: Int64, _ key: Int64, _ mix: UInt64, _ isFailure: Bool, _ value: Double?,
    isSketched: Bool
  ) {
    let index = find(measure, app, host, key, mix)
    entries[index].n &+= 1
    if isFailure { entries[index].errors &+= 1 }
    guard let value else { return }
    entries[index].values &+= 1
    entries[index].sum += value
    entries[index].least = min(entries[index].least, value)
    entries[index].greatest = max(entries[index].greatest, value)
    if isSketched { addCell(index, Sketch.bucket(value)) }
  }
  @inline(__always) private mutating func find(
    _ measure: Measure, _ app: Int64, _ host: Int64, _ key: Int64, _ mix: UInt64
  ) -> Int {
    let mask = entrySlots.count &- 1
    var slot = Int(truncatingIfNeeded: mix &+ UInt64(bitPattern: Int64(measure.rawValue))) & mask
    while case let found = entrySlots[slot], found != 0 {
      let index = Int(found) &- 1
      let entry = entries[index]
      if entry.key == key && entry.app == app && entry.host == host && entry.minute == minute
        && entry.measure == measure
      {
        return index
      }
      slot = (slot &+ 1) & mask
    }
    entrySlots[slot] = UInt32(truncatingIfNeeded: entries.count &+ 1)
    entries.append(Entry(minute: minute, app: app, host: host, key: key, measure: measure))
    if entries.count &* 2 > entrySlots.count { growEntries() }
    return entries.count &- 1
  }
  @inline(never) private mutating func growEntries() {
    let count = entrySlots.count * 4
    entrySlots = Array(repeating: 0, count: count)
    for (index, entry) in entries.enumerated() {
      let mix = RollupBuilder.mix(entry.minute, entry.app, entry.host, entry.key)
      var slot = Int(truncatingIfNeeded: mix &+ UInt64(bitPattern: Int64(entry.measure.rawValue))) & (count - 1)
      while entrySlots[slot] != 0 { slot = (slot + 1) & (count - 1) }
      entrySlots[slot] = UInt32(index + 1)
    }
  }

  @inline(__always) private static func cellSlot(_ entry: UInt32, _ bucket: Int32) -> Int {
    let mixed = (UInt64(entry) << 32 | UInt64(UInt32(bitPattern: bucket))) &* 0x9e37_79b9_7f4a_7c15
    return Int(truncatingIfNeeded: mixed >> 32)
  }
  @inline(__always) private mutating func addCell(_ index: Int, _ bucket: Int32) {
    let entry = UInt32(truncatingIfNeeded: index)
    let mask = cellSlots.count &- 1
    var slot = RollupBuilder.cellSlot(entry, bucket) & mask
    while case let found = cellSlots[slot], found != 0 {
      let cell = Int(found) &- 1
      if cells[cell].entry == entry && cells[cell].bucket == bucket {
        cells[cell].count &+= 1
        return
      }
      slot = (slot &+ 1) & mask
    }
    cellSlots[slot] = UInt32(truncatingIfNeeded: cells.count &+ 1)
    cells.append(Cell(entry: entry, bucket: bucket, count: 1))
    if cells.count &* 2 > cellSlots.count { growCells() }
  }
  @inline(never) private mutating func growCells() {
    let count = cellSlots.count * 4
    cellSlots = Array(repeating: 0, count: count)
    for (index, cell) in cells.enumerated() {
      var slot = RollupBuilder.cellSlot(cell.entry, cell.bucket) & (count - 1)
      while cellSlots[slot] != 0 { slot = (slot + 1) & (count - 1) }
      cellSlots[slot] = UInt32(index + 1)
    }
  }

  // MARK: rows

  /// Makes the rows of what was counted.
  mutating func finish() {
    cells.sort { $0.order < $1.order }
    var next = 0
    for (index, entry) in entries.enumerated() {
      let first = next
      while next < cells.count && cells[next].entry == UInt32(truncatingIfNeeded: index) { next += 1 }
      put(entry, first..<next)
    }
  }
  private mutating func put(_ entry: Entry, _ range: Range<Int>) {
    rows.reserve(256 + range.count * 20)
    rows.putColumnCount(Table.rollup.columnCount)
    rows.put(entry.minute)
    rows.put(entry.app)
    rows.put(entry.host)
    rows.put(entry.measure.rawValue)
    rows.put(entry.key)
    rows.put(entry.n)
    rows.put(entry.errors)
    // Beyond, sums of sums are errors to PostgreSQL, and readers' too.
    rows.put(abs(entry.sum) < 1e290 ? entry.sum : entry.sum * .infinity, if: entry.values > 0)
    rows.put(entry.least, if: entry.values > 0)
    rows.put(entry.greatest, if: entry.values > 0)
    if range.isEmpty {
      rows.putNull()
      rows.putNull()
      return
    }
    rows.beginArray(.integer, count: range.count)
    for cell in cells[range] { rows.put(cell.bucket) }
    rows.beginArray(.bigint, count: range.count)
    for cell in cells[range] { rows.put(cell.count) }
  }
}

extension Batch {
  /// Rolls the rows of `ranges` up. `before` is told of each, with its bytes, which stay where they are until the next.
  public func rollUp(
    _ ranges: [Range<Int>], into builder: inout RollupBuilder, before: (_ row: Int, RawSpan) -> Void = { _, _ in }
  ) {
    builder.begin()
    // Refused records have none of the columns, and may be shorter than where those would stand.
    for slice in slices(of: 0..<rowCount) where slice.table != .rejected {
      let table = slice.table
      withRows(of: slice, ranges) { row, bytes, start, end, isFailure in
        before(row, bytes.extracting(start..<end))
        builder.add(table, bytes, start, end: end, isFailure: isFailure)
      }
    }
    builder.finish()
  }
}
