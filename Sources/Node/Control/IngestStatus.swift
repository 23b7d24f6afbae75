// The intake's counters in the words of the status.

extension StatusBoard {
  func ingestStatus() -> NodeStatus.Ingest {
    let seen = ingest.snapshot()
    var told = NodeStatus.Ingest()
    told.connections = ["native": seen.connections.native, "syslog-tcp": seen.connections.syslogTCP]
    told.connections.merge(seen.connections.delivering) { $1 }
    told.recordsPerSecond = seen.committedPerSecond
    told.received = UInt64(clamping: seen.received)
    told.committed = UInt64(clamping: seen.committed)
    told.acknowledged = UInt64(clamping: seen.acknowledged)
    told.rejected = UInt64(clamping: seen.rejected)
    told.overQuota = UInt64(clamping: seen.overQuota)
    told.shed = UInt64(clamping: seen.shedMessages)
    told.bufferedBytes = Int64(seen.bytesBuffered)
    told.bufferLimitBytes = Int64(configuration.ingest.memoryBytes)
    told.refused = seen.refusedByReason.mapValues { UInt64(clamping: $0) }
    if seen.quarantined > 0 { told.refused["quarantined"] = UInt64(clamping: seen.quarantined) }
    if seen.connections.refused > 0 { told.refused["bound"] = UInt64(clamping: seen.connections.refused) }
    told.rejectedByReason = seen.rejectedByReason.mapValues { UInt64(clamping: $0) }
    let deliveries = seen.deliveries
    told.deliveries = [
      "stored": UInt64(clamping: deliveries.stored),
      "repeated": UInt64(clamping: deliveries.repeated), "refused": UInt64(clamping: deliveries.refused),
      "unavailable": UInt64(clamping: deliveries.unavailable),
    ]
    told.deliveriesUnderWay = deliveries.underWay
    told.lanes = seen.lanes.enumerated().map { number, lane in
      var line = NodeStatus.Lane(lane: number, state: lane.state.rawValue)
      line.batches = UInt64(clamping: lane.batches)
      line.records = UInt64(clamping: lane.rows)
      line.lastCommitMilliseconds = lane.batches > 0 ? lane.lastCommitMilliseconds : nil
      line.retries = UInt64(clamping: lane.retries)
      return line
    }
    told.scrape = ingest.scrapeSnapshot().targets.map { seen in
      var target = NodeStatus.ScrapeTarget(url: seen.url)
      (target.isUp, target.samples) = (seen.isUp, seen.samples)
      (target.stored, target.lost, target.skipped) = (seen.stored, seen.lost, seen.skipped)
      return target
    }
    return told
  }
}
