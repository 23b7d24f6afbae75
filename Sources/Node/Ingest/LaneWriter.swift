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
        copy: { _, stream throws(PostgresError) in
          let (header, trailer) = (copyHeader, copyTrailer)
          // Sound: bytes of UInt8 have no padding.
          try stream.put(unsafe header.span.bytes)
          try send(slice, of: work, to: stream)
          try stream.put(unsafe trailer.span.bytes)
          return .done
        })
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
    var parts = [RowRanges(0..<work.batch.rowCount)]
    while var part = parts.popLast() {
      guard let reason = try commit(work, &part, insteadOf: nil, activation) else { continue }
      if part.count == 1, let row = part.first {
        try setAside(work, row, reason, activation)
      } else {
        let (first, second) = part.halves
        parts.append(second)
        parts.append(first)
      }
    }
  }

  /// Writes a refused record to `ingest.rejected`, under its own claim.
  private mutating func setAside(
    _ work: LaneWork, _ row: Int, _ reason: String, _ activation: Activation
  ) throws(LaneHalt) {
    let origin = work.batch.origin(ofRow: row)
    let part = work.batch.part(ofRow: row)
    let source = part?.source ?? sources[origin.stream] ?? ""
    let bytes = work.batch.poisonRow(row, source: source, reason: reason)
    var rows = RowRanges(row..<row + 1)
    if let refusedAgain = try commit(work, &rows, insteadOf: bytes, activation) {
      throw .givenUp(reason: "a refused record can't be set aside: \(refusedAgain)")
    }
    log(.warning, "record refused by PostgreSQL", ["lane": "\(handle.number)", "reason": reason])
    if origin.stream != Batch.noStream {
      work.poison.append(Reject(stream: origin.stream, seq: origin.seq, reason: reason))
    } else if let part {
      let index = part.firstIndex + row - part.rows.lowerBound
      work.deliveryPoison.append((part.delivery, DeliveryReject(index: index, reason: reason)))
    }
  }

  /// Rows of one table for one COPY: slices of its buffer, or one row in place of a refused one.
  private struct Copying {
    var table: Table
    var slices: [TableSlice]
    var rows: Int
  }
  private func copies(_ work: LaneWork, _ rows: RowRanges) -> [Copying] {
    var copies: [Copying] = []
    for slice in rows.ranges.flatMap({ work.batch.slices(of: $0) }) {
      if let index = copies.firstIndex(where: { $0.table == slice.table }) {
        copies[index].slices.append(slice)
        copies[index].rows += slice.rows
      } else {
        copies.append(Copying(table: slice.table, slices: [slice], rows: slice.rows))
      }
    }
    return copies
  }

  /// One transaction with `rows`, until all of them are stored (nil), or one turns out to be poisoned (why). Rows that
  /// were stored before are taken away on the way; what is left of `rows` then is what was tried last.
  private mutating func commit(
    _ work: LaneWork, _ rows: inout RowRanges, insteadOf poison: [UInt8]?, _ activation: Activation
  ) throws(LaneHalt) -> String? {
    var (partitionsAsked, refusals, wasUnknown) = (0, 0, false)
    while !rows.isEmpty {
      var claims = work.batch.claims(of: rows)
      let deliveries = work.batch.deliveryClaims(of: rows)
      let covered =
        claims.reduce(0) { $0 + Int($1.last - $1.first) + 1 } + deliveries.reduce(0) { $0 + $1.rows.count }
      let hasUnnumbered = covered < rows.count
      if hasUnnumbered {
        let stream = try ownStream(activation)
        claims.append(Claim(stream: stream.id, first: stream.next, last: stream.next))
        claims.sort { $0.stream < $1.stream }
      }
      var copies =
        poison == nil ? copies(work, rows) : [Copying(table: .rejected, slices: [], rows: 1)]
      precondition(copies.reduce(0) { $0 + $1.rows } == rows.count)
      if poison == nil, let rollups {
        rollups.make(work.batch, rows.ranges, sources: sources)
        if rollups.rowCount > 0 { copies.append(Copying(table: .rollup, slices: [], rows: rollups.rowCount)) }
      }
      switch try attempt(work, claims, deliveries, copies, poison, activation) {
      case .committed:
        if hasUnnumbered { own?.next += 1 }
        return nil
      case .unknown: wasUnknown = true
      case .retry: continue
      case .poison(let reason): return reason
      case .noPartition(let reason):
        // Made by upkeep if at all: a record that has none even then is outside the times we keep.
        partitionsAsked += 1
        if partitionsAsked > 24 { return reason }
        needPartitions()
        try pause()
      case .claimRefused(let reason):
        let before = rows.count
        try removeStored(
          work, &rows, claims, deliveries, isRepetition: !wasUnknown, refusal: reason, activation)
        // Refused, and yet nothing of it is stored: who held the claim has given it back. Not for ever.
        refusals = rows.count == before ? refusals + 1 : 0
        if wasUnknown, rows.count < before {
          let stored = "\(before - rows.count)"
          log(.notice, "batch of unknown outcome was stored", ["lane": "\(handle.number)", "rows": stored])
        }
        if refusals > 3 { throw .givenUp(reason: "refused again and again: \(reason)") }
      }
    }
    return nil
  }
  private mutating func attempt(
    _ work: LaneWork, _ claims: [Claim], _ deliveries: [DeliveryClaim], _ copies: [Copying], _ poison: [UInt8]?,
    _ activation: Activation
  ) throws(LaneHalt) -> AttemptEnd {
    let rollups = rollups
    let taken = FencedScript.beginResults
    let first = taken + (deliveries.isEmpty ? 1 : 2)
    return try attempt(
      FencedScript.rows(activation, claims, deliveries, copies.map(\.table)), results: first + copies.count + 1,
      activation,
      expecting: { outcome in
        outcome.results[taken].rows == [["\(claims.count)"]]
          && (deliveries.isEmpty || outcome.results[taken + 1].rows == [["\(deliveries.count)"]])
          && copies.indices.allSatisfy { outcome.results[first + $0].command == "COPY \(copies[$0].rows)" }
      },
      copy: { number, stream throws(PostgresError) in
        guard number < copies.count else { throw PostgresError(.misuse, "more COPYs than were asked for") }
        let (header, trailer) = (copyHeader, copyTrailer)
        // Sound, here and below: bytes of UInt8 have no padding.
        try stream.put(unsafe header.span.bytes)
        if let poison { try stream.put(unsafe poison.span.bytes) }
        for slice in copies[number].slices { try send(slice, of: work, to: stream) }
        if copies[number].table == .rollup { try rollups?.send(to: stream) }
        try stream.put(unsafe trailer.span.bytes)
        return .done
      })
  }
}

/// Feeds the rows of a slice to its COPY.
func send(_ slice: TableSlice, of work: LaneWork, to stream: borrowing CopyStream) throws(PostgresError) {
  // Sound: the batch lends the bytes for the time of the call.
  try unsafe work.batch.withBytes(of: slice) { bytes throws(PostgresError) in
    try stream.put(unsafe RawSpan(_unsafeBytes: bytes))
  }
}
