// What a lane does now and then while it waits for its hour: a hello and a batch, rolled back.
//
// The first of each is slow in a fresh backend, for it compiles the functions and reads the catalogs, and so is the first
// in the partitions of a new day: that is a takeover 20 ms and more later. Nothing of it can count: all is under the lane's
// own name, in one transaction that never commits, and that a command ends. A worker that is frozen in it (its host still
// answers) keeps a transaction open until it goes on, which holds up no promotion: the fence is not locked here.
internal import Platform
internal import Postgres
internal import Telemetry

extension Lane {
  private static let againMilliseconds: Int64 = 3_600_000
  /// After a refusal: the first of a new cluster come before there are partitions.
  private static let refusedMilliseconds: Int64 = 30_000

  /// Best effort: what is refused here is refused, and told, when it matters.
  mutating func rehearse() {
    rehearsal.due = .after(milliseconds: Self.againMilliseconds)
    let deadline = BootInstant.after(milliseconds: settings.connectDeadlineMilliseconds)
    do throws(PostgresError) {
      if !isWanted { try play(deadline) }
      // What a command ended has a transaction open; one that cannot be left has lost its session.
      try? rollBack()
    } catch {
      log(.debug, "rehearsal refused", ["lane": "\(handle.number)", "reason": "\(error)"])
      rehearsal.due = .after(milliseconds: Self.refusedMilliseconds)
      if error.state == nil {
        // The session is gone, or in the midst of an answer. Where no command was the reason, one is enough: PostgreSQL
        // may be too slow, or too far.
        if error.reason != .interrupted { rehearsal.notBefore = .after(milliseconds: Self.againMilliseconds) }
        return drop()
      }
      // As above.
      try? rollBack()
    }
  }

  /// A command waits: it goes first.
  private var isWanted: Bool { !wait(handle.mailbox.descriptor, for: .read, until: .now()).isEmpty }

  private mutating func play(_ deadline: BootInstant) throws(PostgresError) {
    guard let session else { return }
    let (source, name) = ("standwatch/\(sessions.node)", "lane-\(handle.number)")
    let own = NameHash.streamID(source: source, stream: name)
    _ = try session.connection.run(FencedScript.rehearsalBegin, deadline: deadline)
    if isWanted { return }
    let stored = try session.connection.query(
      FencedScript.register, ["{\(own)}", textArray([source]), textArray([name])], deadline: deadline)
    if isWanted { return }
    let last = stored.rows.first.flatMap { $0.count == 2 ? $0[1] : nil }.flatMap { Int64($0) } ?? 0
    let work = rehearsalWork(stream: own, first: last + 1, source: "\(source)/\(name)")
    let rows = work.batch.slices(of: 0..<work.batch.rowCount)
    let rollups = rollups
    rollups?.make(work.batch, [0..<work.batch.rowCount], sources: [:])
    let tables = rows.map(\.table) + (rollups == nil ? [] : [.rollup])
    let mailbox = handle.mailbox.descriptor
    _ = try session.connection.run(
      FencedScript.rehearsal(work.batch.claims, tables), deadline: deadline,
      copy: { number, stream throws(PostgresError) in
        if !wait(mailbox, for: .read, until: .now()).isEmpty { return .fail(reason: "a command waits") }
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
  }

  /// A record of every type, of now, with names that no other session can have in hand: two that rehearse at once would
  /// wait for each other's.
  private func rehearsalWork(stream: Int64, first: Int64, source: String) -> LaneWork {
    let (now, trace) = (wallMicroseconds() - Intake.epoch2000Microseconds, TraceID(high: 1, low: 1))
    // Digits of a message are not part of its pattern.
    let message = String(String(UInt64(bitPattern: stream), radix: 10).map { Character(letter(of: $0)) })
    let bodies: [Record.Body] = [
      .queue(.init(queue: source, depth: 0)), .step(.init(transaction: source, step: source, status: source)),
      .job(.init(job: source, durationMicroseconds: 1, status: source)), .metric(.init(name: source, value: 0)),
      .process(.init(process: source, state: source)), .log(.init(severity: 7, message: message)),
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

/// From `g` on, so that no word of them looks like a hexadecimal number.
private func letter(of digit: Character) -> Unicode.Scalar {
  Unicode.Scalar(UInt8(ascii: "g") + UInt8(truncatingIfNeeded: digit.wholeNumberValue ?? 0))
}
