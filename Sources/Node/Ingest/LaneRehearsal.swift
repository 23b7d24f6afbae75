// What a lane does once with each new session while it waits for its hour: the statements of a hello and of a batch,
// rolled back.
//
// The first of each is slow in a fresh backend, for it compiles the functions and reads the catalogs: that is a takeover
// 10 ms and more later. Nothing here can count: it claims under the lane's own name, has no rows, and never commits.
internal import Platform
internal import Postgres
internal import Telemetry

extension Lane {
  /// Best effort: what is refused here is refused, and told, when it matters.
  mutating func rehearse() {
    guard let session else { return }
    let (source, name) = ("standwatch/\(sessions.node)", "lane-\(handle.number)")
    let own = NameHash.streamID(source: source, stream: name)
    let tables = Table.allCases.filter { $0 != .rejected && $0 != .name && ($0 != .rollup || rollups != nil) }
    let deadline = BootInstant.after(milliseconds: settings.connectDeadlineMilliseconds)
    do throws(PostgresError) {
      _ = try session.connection.run(FencedScript.rehearsalBegin, deadline: deadline)
      let stored = try session.connection.query(
        FencedScript.register, ["{\(own)}", textArray([source]), textArray([name])], deadline: deadline)
      let last = stored.rows.first.flatMap { $0.count == 2 ? $0[1] : nil }.flatMap { Int64($0) } ?? 0
      let script = FencedScript.rehearsal(Claim(stream: own, first: last + 1, last: last + 1), tables)
      _ = try session.connection.run(script, deadline: deadline) { _, stream throws(PostgresError) in
        let (header, trailer) = (copyHeader, copyTrailer)
        // Sound: bytes of UInt8 have no padding.
        try stream.put(unsafe header.span.bytes)
        try stream.put(unsafe trailer.span.bytes)
        return .done
      }
    } catch {
      log(.debug, "rehearsal refused", ["lane": "\(handle.number)", "reason": "\(error)"])
      // Without a state the session is gone or in the midst of an answer.
      if error.state == nil { return drop() }
      // A command is on its way, or the session is dropped: either is seen by who waits next.
      try? rollBack()
    }
  }
}
