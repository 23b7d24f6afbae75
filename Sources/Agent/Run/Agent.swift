// The agent's threads and how they begin and end.
internal import Configuration
internal import Platform
internal import Telemetry

/// Shown by `--version` and in the status.
public let agentVersion = "0.1.0"

private struct Boards: Sendable {
  let ship = Guarded(ShipStatus())
  let local = Guarded(LocalStatus())
  let troubles = Guarded<[FollowTrouble]>([])
  let usage = Guarded(OwnUsage(began: .now(), intervalMilliseconds: CollectRole.liveMilliseconds))
}

/// Runs until SIGTERM or SIGINT; the process's exit status.
public func runAgent(configurationPath: String) -> Int32 {
  let settings: AgentSettings
  do {
    settings = try AgentSettings.load(path: configurationPath)
  } catch {
    log(.error, "refused to start", ["reason": error.description])
    return 78
  }
  configureLog(threshold: settings.logLevel, identity: "")
  ignoreBrokenPipe()
  do throws(SystemError) {
    let signals = try SignalDescriptor([SignalNumber.terminate, SignalNumber.interrupt])
    let shipNotes = try Mailbox<Spool.Note>(capacity: 16)
    let localNotes = try Mailbox<Spool.Note>(capacity: 16)
    let collectNotes = try Mailbox<CollectNote>(capacity: 64)
    guard let spool = try Spool.open(settings.spool, listeners: [shipNotes, localNotes]) else {
      log(.error, "refused to start", ["reason": "another agent has \(settings.spool.folder)"])
      return 78
    }
    let boards = Boards()
    let local = try LocalRole(settings, spool: spool, inbox: localNotes, board: boards.local) {
      report(settings, spool, boards).json
    }
    let sync = try RoleThread(name: "sync") { spool.runSync() }
    let ship = try RoleThread(name: "ship") {
      Shipper(settings, spool: spool, inbox: shipNotes, board: boards.ship) { seconds in
        collectNotes.post(.live(seconds: seconds))
      }.run()
    }
    let collect = try RoleThread(name: "collect") {
      var role = CollectRole(settings, spool: spool, inbox: collectNotes, board: boards.troubles) {
        ownMetrics(spool, boards)
      }
      role.run()
    }
    let apps = try RoleThread(name: "local") { local.run() }
    log(.notice, "agent runs", ["host": settings.host, "server": "\(settings.servers[0])", "version": agentVersion])
    notifySupervisor("READY=1")
    _ = wait(signals.descriptor, for: .read, until: nil)
    notifySupervisor("STOPPING=1")
    // First those that take, so that the last sync has everything.
    localNotes.post(.stop)
    collectNotes.post(.stop)
    apps.join()
    collect.join()
    spool.stop()
    sync.join()
    shipNotes.post(.stop)
    ship.join()
    log(.notice, "agent stopped")
    return 0
  } catch {
    log(.error, "refused to start", ["reason": error.description])
    return error.isTemporary ? 1 : 78
  }
}

private func report(_ settings: AgentSettings, _ spool: Spool, _ boards: Boards) -> AgentReport {
  var report = AgentReport()
  let wall = wallMicroseconds()
  func seconds(since then: Int64) -> Double { Double(max(0, wall - then)) / 1_000_000 }
  (report.version, report.host, report.pid) = (agentVersion, settings.host, processIdentifier())
  report.source = settings.source
  report.memory_kib = residentKilobytes()
  boards.usage.withLock {
    report.up_seconds = BootInstant.now().milliseconds(since: $0.began) / 1000
    report.cpu_percent = $0.percent
  }
  let ship = boards.ship.withLock { $0 }
  (report.connected, report.server, report.node, report.epoch) = (ship.isConnected, ship.server, ship.node, ship.epoch)
  (report.connects, report.last_error, report.live) = (ship.connects, ship.lastError, ship.liveUntil > wall)
  (report.refused_by_service, report.last_refusal_by_service) = (ship.rejected, ship.lastReject)
  if ship.lastAck > 0 { report.seconds_since_ack = seconds(since: ship.lastAck) }
  (report.spool_folder, report.spool_limit) = (settings.spool.folder, settings.spool.bytes)
  spool.with { core in
    (report.stream, report.last_seq) = ("\(core.active.stream)", core.written.seq)
    report.durable_seq = core.durable.seq
    report.acked_seq = core.acked.generation == core.active.generation ? core.acked.seq : 0
    (report.spool_bytes, report.waiting) = (core.bytes, core.waiting)
    if let oldest = core.oldestWall { report.oldest_seconds = seconds(since: oldest) }
    (report.taken, report.dropped, report.missing) = (core.counts.taken, core.counts.dropped, core.counts.missing)
    (report.damaged_segments, report.sync_failures) = (core.counts.damagedSegments, core.counts.syncFailures)
    (report.spool_failure, report.loss_unknown) = (core.failure, core.counts.isLossUnknown)
  }
  let local = boards.local.withLock { $0 }
  (report.applications, report.applications_waiting) = (local.connections, local.waiting)
  (report.lines_taken, report.lines_refused, report.last_refused_line) = (local.taken, local.refused, local.lastRefusal)
  report.not_followed = boards.troubles.withLock { $0 }
  return report
}

/// What the agent measures of itself, with each sample.
private func ownMetrics(_ spool: Spool, _ boards: Boards) -> [(String, Double)] {
  let wall = wallMicroseconds()
  let ticks = processorMicroseconds()
  let percent = boards.usage.withLock {
    $0.look(ticks, at: .now())
    return $0.percent
  }
  let (bytes, waiting, oldest, dropped) = spool.with { core in
    (core.bytes, core.waiting, core.oldestWall, core.counts.dropped)
  }
  var metrics = [
    ("agent.spool_bytes", Double(bytes)), ("agent.waiting", Double(waiting)),
    ("agent.lag_seconds", oldest.map { Double(max(0, wall - $0)) / 1_000_000 } ?? 0),
    ("agent.dropped", Double(dropped)), ("agent.memory_bytes", Double(residentKilobytes()) * 1024),
  ]
  if let percent { metrics.append(("agent.cpu_percent", percent)) }
  return metrics
}
