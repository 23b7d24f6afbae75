// The rollups of the rows that a lane writes, made anew for every attempt: they are of the rows of that transaction.
internal import Postgres
internal import Telemetry

/// A lane's builder; a class, so that the lane can lend it while it waits for PostgreSQL.
final class LaneRollups {
  private var builder = RollupBuilder()

  var rowCount: Int { builder.rowCount }
  func make(_ batch: borrowing Batch, _ rows: [Range<Int>]) { batch.rollUp(rows, into: &builder) }
  func send(to stream: borrowing CopyStream) throws(PostgresError) {
    // Sound: the builder lends the bytes for the time of the call.
    try unsafe builder.withBytes { bytes throws(PostgresError) in
      try stream.put(unsafe RawSpan(_unsafeBytes: bytes))
    }
  }
}
