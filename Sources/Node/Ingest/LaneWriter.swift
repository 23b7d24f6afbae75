// What a lane does with a work: names, rows and streams, each in fenced transactions that are tried until their
// outcome is known.
//
// A claim goes before the rows it covers, so a second attempt after an unknown outcome is refused (SW010) when the
// first had committed after all. That refusal is a read; a transaction that writes has to commit before it counts.
internal import Platform
internal import Postgres
internal import Telemetry

extension Lane {
  /// Writes everything; returns when all of it has committed.
  mutating func write(_ work: LaneWork) throws(LaneHalt) {
    guard let activation else { throw .told }
    if work.batch.nameCount > 0 { try writeNames(work, activation) }
    if work.batch.rowCount > 0 {
      let begun = BootInstant.now()
      try writeRows(work, activation)
      let ended = BootInstant.now()
      let rows = work.batch.rowCount
      work.committedAt = ended
      handle.status.withLock {
        $0.batches += 1
        $0.rows += rows
        $0.lastCommitMilliseconds = ended.milliseconds(since: begun)
      }
      work.commits = work.batch.claims
    }
    if !work.requests.isEmpty { try answer(work, activation) }
  }

  /// Names first, in a transaction of their own, sorted by the server: two lanes with the same ones can't deadlock.
  private mutating func writeNames(_ work: LaneWork, _ activation: Activation) throws(LaneHalt) {
    let slice = work.batch.nameSlice
    while true {
      switch try attempt(
        FencedScript.names(activation), results: FencedScript.beginResults + 3, activation,
        copy: { _, stream throws(PostgresError) in try send(slice, of: work, to: stream) })
      {
      case .committed(let outcome):
        for row in outcome.results[FencedScript.beginResults + 1].rows where row.count == 3 {
          log(
            .error, "two names have the same id", ["kind": row[0] ?? "", "id": row[1] ?? "", "name": row[2] ?? ""])
        }
        work.batch.namesWereStored()
        return
      case .unknown, .retry: continue
      case .claimRefused, .noPartition: throw .givenUp(reason: "names were refused")
      case .poison(let reason):
        // The rows are worth more than the names of some of them.
        log(.error, "names refused by PostgreSQL", ["lane": "\(handle.number)", "reason": reason])
        work.batch.namesWereStored()
        return
      }
    }
  }

  /// All rows, or ever smaller parts of them in their order, until only what PostgreSQL refuses is set aside.
  private mutating func writeRows(_ work: LaneWork, _ activation: Activation) throws(LaneHalt) {
    var parts = [0..<work.batch.rowCount]
    while let part = parts.popLast() {
      guard let reason = try writePart(work, part, activation) else { continue }
      if part.count == 1 {
        try setAside(work, part.lowerBound, reason, activation)
      } else {
        let middle = part.lowerBound + part.count / 2
        parts.append(middle..<part.upperBound)
        parts.append(part.lowerBound..<middle)
      }
    }
  }

  /// Writes the rows of `part` in one transaction; answers why a record among them is refused, nil when it committed.
  private mutating func writePart(
    _ work: LaneWork, _ part: Range<Int>, _ activation: Activation
  ) throws(LaneHalt) -> String? {
    let slices = work.batch.slices(of: part)
    precondition(slices.reduce(0) { $0 + $1.rows } == part.count)
    let numbered = work.batch.claims(of: part)
    let covered = numbered.reduce(0) { $0 + Int($1.last - $1.first) + 1 }
    return try commit(numbered, hasUnnumbered: covered < part.count, slices, activation) {
      slice, stream throws(PostgresError) in try send(slice, of: work, to: stream)
    }
  }
  /// Writes a refused record to `ingest.rejected`, under its own claim.
  private mutating func setAside(
    _ work: LaneWork, _ row: Int, _ reason: String, _ activation: Activation
  ) throws(LaneHalt) {
    let origin = work.batch.origin(ofRow: row)
    let bytes = work.batch.poisonRow(row, source: sources[origin.stream] ?? "", reason: reason)
    let slice = TableSlice(table: .rejected, bytes: 0..<bytes.count, rows: 1)
    let refusedAgain = try commit(
      work.batch.claims(of: row..<row + 1), hasUnnumbered: origin.stream == Batch.noStream, [slice], activation
    ) { _, stream throws(PostgresError) in
      // Sound: bytes of UInt8 have no padding.
      try send(unsafe bytes.span.bytes, to: stream)
    }
    if let refusedAgain { throw .givenUp(reason: "a refused record can't be set aside: \(refusedAgain)") }
    log(.warning, "record refused by PostgreSQL", ["lane": "\(handle.number)", "reason": reason])
    if origin.stream != Batch.noStream {
      work.poison.append(Reject(stream: origin.stream, seq: origin.seq, reason: reason))
    }
  }

  /// One transaction with rows, until it has committed (nil) or turns out to be poisoned (why).
  private mutating func commit(
    _ numbered: [Claim], hasUnnumbered: Bool, _ slices: [TableSlice], _ activation: Activation,
    _ put: (TableSlice, borrowing CopyStream) throws(PostgresError) -> Connection.CopyEnd
  ) throws(LaneHalt) -> String? {
    var claims = numbered
    if hasUnnumbered {
      let stream = try ownStream(activation)
      claims.append(Claim(stream: stream.id, first: stream.next, last: stream.next))
      claims.sort { $0.stream < $1.stream }
    }
    let script = FencedScript.rows(activation, claims, slices)
    let copies = FencedScript.beginResults + 1
    var partitionsAsked = 0
    while true {
      switch try attempt(
        script, results: copies + slices.count + 1, activation,
        expecting: { outcome in
          outcome.results[copies - 1].rows == [["\(claims.count)"]]
            && slices.indices.allSatisfy { outcome.results[copies + $0].command == "COPY \(slices[$0].rows)" }
        },
        copy: { number, stream throws(PostgresError) in
          guard number < slices.count else { throw PostgresError(.misuse, "more COPYs than were asked for") }
          return try put(slices[number], stream)
        })
      {
      case .committed: break
      case .unknown, .retry: continue
      case .poison(let reason): return reason
      case .noPartition(let reason):
        // Made by upkeep if at all: a record that has none even then is outside the times we keep.
        partitionsAsked += 1
        if partitionsAsked > 24 { return reason }
        needPartitions()
        try pause()
        continue
      case .claimRefused(let reason):
        let stored = try settled(claims.map(\.stream), activation)
        guard claims.allSatisfy({ claim in (stored[claim.stream] ?? -1) >= claim.last }) else {
          throw .givenUp(reason: "out of order: \(reason)")
        }
      }
      if hasUnnumbered { own?.next += 1 }
      return nil
    }
  }
}

/// Feeds the rows of a slice to its COPY.
private func send(
  _ slice: TableSlice, of work: LaneWork, to stream: borrowing CopyStream
) throws(PostgresError) -> Connection.CopyEnd {
  // Sound: the batch lends the bytes for the time of the call.
  try unsafe work.batch.withBytes(of: slice) { bytes throws(PostgresError) in
    try send(unsafe RawSpan(_unsafeBytes: bytes), to: stream)
  }
}
private func send(_ rows: RawSpan, to stream: borrowing CopyStream) throws(PostgresError) -> Connection.CopyEnd {
  let (header, trailer) = (copyHeader, copyTrailer)
  // Sound: bytes of UInt8 have no padding.
  try stream.put(unsafe header.span.bytes)
  try stream.put(rows)
  try stream.put(unsafe trailer.span.bytes)
  return .done
}
