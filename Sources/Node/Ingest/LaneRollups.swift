// The rollups of the rows that a lane writes, made anew for every attempt: they are of the rows of that transaction.
internal import Platform
internal import Postgres
internal import Telemetry

/// A lane's builder; a class, so that the lane can lend it while it waits for PostgreSQL.
final class LaneRollups {
  private var builder = RollupBuilder()
  private let trap: PlantedTrap?

  init(trap: PlantedTrap?) { self.trap = trap }

  var rowCount: Int { builder.rowCount }
  /// With each row in hand, as its sender's: no other computing is done on records behind the decoders. `sources` names
  /// those of streams.
  func make(_ batch: borrowing Batch, _ rows: [Range<Int>], sources: [Int64: String]) {
    var run = RowRun()
    var inHand: [UInt8] = []
    batch.rollUp(rows, into: &builder) { row, bytes in
      if !run.covers(row, batch) {
        run = RowRun(row, batch)
        inHand = run.sender(batch, sources)?.inHand(address: "") ?? []
      }
      if inHand.isEmpty { letGo() } else { holdInHand(inHand, bytes, isExact: false) }
      trap?.tripLane(bytes)
    }
    letGo()
  }
  func send(to stream: borrowing CopyStream) throws(PostgresError) {
    // Sound: the builder lends the bytes for the time of the call.
    try unsafe builder.withBytes { bytes throws(PostgresError) in
      try stream.put(unsafe RawSpan(_unsafeBytes: bytes))
    }
  }
}

/// Rows that have the same sender: those of one stream, or of one part of a delivery.
private struct RowRun {
  private var stream = Batch.noStream
  private var part: DeliveryPart?
  private var isEmpty = true

  init() {}
  init(_ row: Int, _ batch: borrowing Batch) {
    isEmpty = false
    stream = batch.origin(ofRow: row).stream
    part = batch.part(ofRow: row)
  }
  func covers(_ row: Int, _ batch: borrowing Batch) -> Bool {
    if isEmpty || batch.origin(ofRow: row).stream != stream { return false }
    return stream != Batch.noStream || part?.rows.contains(row) ?? false
  }
  /// Nil for lines without a hello and syslog: they are not sent again, and so crash nobody twice.
  func sender(_ batch: borrowing Batch, _ sources: [Int64: String]) -> Sender? {
    if let part { return Sender(protocolName: part.kind, source: part.source) }
    return sources[stream].map { Sender(protocolName: "native", source: $0) }
  }
}
