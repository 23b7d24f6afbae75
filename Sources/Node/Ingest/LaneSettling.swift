// What a refused claim means: some of it is stored already. Found out by a read whose own transaction writes, so that
// what it found may be acknowledged.
internal import Platform
internal import Postgres
internal import Telemetry

/// What is stored, behind a commit of this epoch.
struct Settled: Equatable {
  /// Last seq by stream.
  var streams: [Int64: Int64] = [:]
  var deliveries: [DeliveryKey: StoredDelivery] = [:]
}
struct StoredDelivery: Equatable {
  var last: Int
  var digest: Int64
}

extension Lane {
  /// How far streams and deliveries are stored, read in a transaction that wrote and has committed.
  mutating func settled(
    _ streams: [Int64], _ deliveries: [DeliveryKey], _ activation: Activation
  ) throws(LaneHalt) -> Settled {
    while true {
      switch try attempt(
        FencedScript.settle(activation, streams, deliveries), results: FencedScript.beginResults + 4, activation,
        copy: { _, _ throws(PostgresError) in throw PostgresError(.misuse, "no data for COPY") })
      {
      case .committed(let outcome):
        var settled = Settled()
        for row in outcome.results[FencedScript.beginResults].rows where row.count == 2 {
          if let stream = row[0].flatMap({ Int64($0) }), let last = row[1].flatMap({ Int64($0) }) {
            settled.streams[stream] = last
          }
        }
        for row in outcome.results[FencedScript.beginResults + 1].rows where row.count == 3 {
          if let number = row[0].flatMap({ Int($0) }), deliveries.indices.contains(number - 1),
            let last = row[1].flatMap({ Int($0) }), let digest = row[2].flatMap({ Int64($0) })
          {
            settled.deliveries[deliveries[number - 1]] = StoredDelivery(last: last, digest: digest)
          }
        }
        return settled
      case .unknown, .retry: continue
      case .claimRefused(let reason), .noPartition(let reason), .poison(let reason): throw .givenUp(reason: reason)
      }
    }
  }

  /// Takes those rows away that are stored already. `isRepetition`: an own attempt with an unknown outcome can't have
  /// stored them, so that what is stored was delivered before.
  mutating func removeStored(
    _ work: LaneWork, _ rows: inout RowRanges, _ claims: [Claim], _ deliveries: [DeliveryClaim], isRepetition: Bool,
    refusal: String, _ activation: Activation
  ) throws(LaneHalt) {
    let settled = try settled(claims.map(\.stream), deliveries.map(\.key), activation)
    var goneStreams: Set<Int64> = []
    for claim in claims {
      let last = settled.streams[claim.stream] ?? -1
      if last >= claim.last {
        goneStreams.insert(claim.stream)
      } else if last != claim.first - 1 {
        throw .givenUp(reason: "out of order: \(refusal)")
      }
    }
    var goneRows: [Range<Int>] = []
    defer { if isRepetition { work.repeatedRows += goneRows.reduce(0) { $0 + $1.count } } }
    for claim in deliveries {
      guard let stored = settled.deliveries[claim.key] else {
        if claim.prev > 0 { throw .givenUp(reason: "a delivery's beginning is gone: \(refusal)") }
        continue
      }
      if stored.digest != claim.digest {
        work.conflicts.insert(claim.delivery)
        goneRows.append(claim.rows)
      } else if stored.last > claim.prev {
        goneRows.append(claim.rows.prefix(stored.last - claim.prev))
        if isRepetition { work.duplicates.insert(claim.delivery) }
      } else if stored.last < claim.prev {
        throw .givenUp(reason: "a delivery's parts are out of order: \(refusal)")
      }
    }
    let ownIsGone = own.map { goneStreams.contains($0.id) } ?? false
    if ownIsGone { own?.next += 1 }
    // By claim: few are gone, and most batches have thousands of rows.
    goneRows.sort { $0.lowerBound < $1.lowerBound }
    var next = 0
    rows.remove { row in
      while next < goneRows.count, goneRows[next].upperBound <= row { next += 1 }
      if next < goneRows.count, goneRows[next].contains(row) { return true }
      let stream = work.batch.origin(ofRow: row).stream
      if stream != Batch.noStream { return goneStreams.contains(stream) }
      return ownIsGone && work.batch.isUnnumbered(row: row)
    }
  }
}
