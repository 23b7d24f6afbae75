// What a lane does once with each new session while it waits for its hour: a hello and a batch, rolled back.
//
// The first of each is slow in a fresh backend, for it compiles the functions and reads the catalogs: that is a takeover
// 20 ms and more later. Nothing of it can count: all is under the lane's own name, in one transaction that never commits.
internal import Platform
internal import Postgres
internal import Telemetry

extension Lane {
  /// Best effort: what is refused here is refused, and told, when it matters.
  mutating func rehearse() {
    guard let session else { return }
    let (source, name) = ("standwatch/\(sessions.node)", "lane-\(handle.number)")
    let own = NameHash.streamID(source: source, stream: name)
    let deadline = BootInstant.after(milliseconds: settings.connectDeadlineMilliseconds)
    do throws(PostgresError) {
      _ = try session.connection.run(FencedScript.rehearsalBegin, deadline: deadline)
      let stored = try session.connection.query(
        FencedScript.register, ["{\(own)}", textArray([source]), textArray([name])], deadline: deadline)
      let last = stored.rows.first.flatMap { $0.count == 2 ? $0[1] : nil }.flatMap { Int64($0) } ?? 0
      let work = rehearsalWork(stream: own, first: last + 1, source: "\(source)/\(name)")
      let rows = work.batch.slices(of: 0..<work.batch.rowCount)
      let rollups = rollups
      rollups?.make(work.batch, [0..<work.batch.rowCount], sources: [:])
      let tables = rows.map(\.table) + (rollups == nil ? [] : [.rollup])
      _ = try session.connection.run(
        FencedScript.rehearsal(work.batch.claims, tables), deadline: deadline,
        copy: { number, stream throws(PostgresError) in
          let (header, trailer) = (copyHeader, copyTrailer)
          // Sound, here and below: bytes of UInt8 have no padding.
          try stream.put(unsafe header.span.bytes)
          switch number {
          case 0: try send(work.batch.nameSlice, of: work, to: stream)
          case 1...rows.count: try send(rows[number - 1], of: work, to: stream)
          default: try rollups?.send(to: stream)
          }
          try stream.put(unsafe trailer.span.bytes)
          return .done
        })
    } catch {
      log(.debug, "rehearsal refused", ["lane": "\(handle.number)", "reason": "\(error)"])
      // Without a state the session is gone, or in the midst of an answer.
      if error.state == nil { return drop() }
      // A command is on its way, or the session is dropped: either is seen by who waits next.
      try? rollBack()
    }
  }

  /// A record of every type, of now, with names that no other session can have in hand.
  private func rehearsalWork(stream: Int64, first: Int64, source: String) -> LaneWork {
    let (now, trace) = (wallMicroseconds() - Intake.epoch2000Microseconds, TraceID(high: 1, low: 1))
    let bodies: [Record.Body] = [
      .queue(.init(queue: source, depth: 0)), .step(.init(transaction: source, step: source, status: source)),
      .job(.init(job: source, durationMicroseconds: 1, status: source)), .metric(.init(name: source, value: 0)),
      .process(.init(process: source, state: source)), .log(.init(severity: 7, message: source)),
      .web(.init(method: "GET", path: "/", code: 200)), .event(.init(kind: source)),
      .span(.init(trace: trace, span: 1, name: source, durationMicroseconds: 1, status: source)),
    ]
    let work = LaneWork()
    var names = Names(capacityLog2: 8)
    for (index, body) in bodies.enumerated() {
      _ = work.batch.add(
        Record(time: now, host: source, app: source, body), stream: stream, seq: first + Int64(index), names: &names,
        window: TimeWindow(from: now, until: now + 1), source: source)
    }
    return work
  }
}
