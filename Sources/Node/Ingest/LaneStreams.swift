// Streams made known and asked for, each answer behind a commit of this epoch.
internal import Platform
internal import Postgres
internal import Telemetry

extension Lane {
  /// The stream that numbers this lane's transactions with unnumbered rows, so that a second attempt can't double them.
  mutating func ownStream(_ activation: Activation) throws(LaneHalt) -> OwnStream {
    if let own { return own }
    let (source, name) = ("standwatch/\(sessions.node)", "lane-\(handle.number)")
    let id = NameHash.streamID(source: source, stream: name)
    let request = StreamRequest(connection: 0, stream: id, source: source, name: name, wish: .register)
    switch try registered([request], activation)[0] {
    case .committed(let last):
      let stream = OwnStream(id: id, next: last + 1)
      own = stream
      return stream
    case .refused(let reason): throw .givenUp(reason: reason)
    }
  }

  /// Answers the requests of a work, behind its rows: what a superseded connection left is settled by then.
  mutating func answer(_ work: LaneWork, _ activation: Activation) throws(LaneHalt) {
    let hellos = work.requests.filter { $0.wish == .register }
    if !hellos.isEmpty { work.answers += zip(hellos, try registered(hellos, activation)).map { ($0, $1) } }
    let gaps = work.requests.filter { $0.missingThrough != nil }
    if !gaps.isEmpty { work.answers += zip(gaps, try gapsRecorded(gaps, activation)).map { ($0, $1) } }
  }

  /// Registers all streams in one transaction; when one is refused, each in its own.
  private mutating func registered(
    _ requests: [StreamRequest], _ activation: Activation
  ) throws(LaneHalt) -> [StreamAnswer] {
    while true {
      let end = try attemptStreams(activation) { (connection, deadline) throws(PostgresError) in
        try connection.query(
          FencedScript.register,
          [
            "{\(requests.map { String($0.stream) }.joined(separator: ","))}", textArray(requests.map(\.source)),
            textArray(requests.map(\.name)),
          ], deadline: deadline)
      }
      switch end {
      case .done(let outcome):
        let stored = storedByStream(outcome)
        if sources.count > 65_536 { sources = [:] }
        for request in requests { sources[request.stream] = request.source }
        return requests.map { request in
          stored[request.stream].map { .committed($0) } ?? .refused(reason: "the stream could not be registered")
        }
      case .again: continue
      case .refused(let reason):
        if requests.count == 1 { return [.refused(reason: reason)] }
        var answers: [StreamAnswer] = []
        for request in requests { answers += try registered([request], activation) }
        return answers
      }
    }
  }

  /// Writes all holes in one transaction; when one is refused, each in its own. A transaction for each would let a crowd
  /// of clients with invented holes keep the lane from everybody else.
  private mutating func gapsRecorded(
    _ requests: [StreamRequest], _ activation: Activation
  ) throws(LaneHalt) -> [StreamAnswer] {
    let node = sessions.node
    while true {
      let end = try attemptStreams(activation) { (connection, deadline) throws(PostgresError) in
        try connection.query(
          FencedScript.recordGaps,
          [
            "{\(requests.map { String($0.stream) }.joined(separator: ","))}",
            "{\(requests.map { String($0.missingThrough ?? 0) }.joined(separator: ","))}", node,
            String(activation.epoch),
          ], deadline: deadline)
      }
      switch end {
      case .done(let outcome):
        let stored = storedByStream(outcome)
        tellOfGaps(requests, activation)
        return requests.map { request in
          stored[request.stream].map { .committed($0) } ?? .refused(reason: "unknown stream")
        }
      case .again: continue
      case .refused(let reason):
        if requests.count == 1 { return [.refused(reason: reason)] }
        var answers: [StreamAnswer] = []
        for request in requests { answers += try gapsRecorded([request], activation) }
        return answers
      }
    }
  }
  /// At most a line a second: `ingest.gap` has all of them, and clients must not be able to fill the log.
  private mutating func tellOfGaps(_ requests: [StreamRequest], _ activation: Activation) {
    gapsUntold += requests.count
    guard let first = requests.first, BootInstant.now() >= nextGapLine else { return }
    log(
      .error, "records are missing for good: PostgreSQL lost them and the sender has them no more",
      [
        "source": first.source, "stream": first.name, "last": "\(first.missingThrough ?? 0)",
        "epoch": "\(activation.epoch)", "streams": "\(gapsUntold)",
      ])
    gapsUntold = 0
    nextGapLine = .after(milliseconds: 1000)
  }
  /// Rows of stream and seq. A seq that no stream reaches (the protocol adds windows to it) is as good as none.
  private func storedByStream(_ outcome: Outcome) -> [Int64: Int64] {
    var stored: [Int64: Int64] = [:]
    for row in outcome.rows where row.count == 2 {
      guard let stream = row[0].flatMap({ Int64($0) }), let last = row[1].flatMap({ Int64($0) }) else { continue }
      if (0...1 << 62).contains(last) { stored[stream] = last }
    }
    return stored
  }

  private enum StreamsEnd { case done(Outcome), again, refused(String) }

  /// A fenced transaction around one statement with parameters.
  private mutating func attemptStreams(
    _ activation: Activation, _ statement: (inout Connection, BootInstant) throws(PostgresError) -> Outcome
  ) throws(LaneHalt) -> StreamsEnd {
    let session = try connected()
    let deadline = BootInstant.after(milliseconds: settings.batchDeadlineMilliseconds)
    let (answer, commit): (Outcome, Outcome)
    do throws(PostgresError) {
      _ = try session.connection.run(FencedScript.begin(activation), deadline: deadline)
      answer = try statement(&session.connection, deadline)
      commit = try session.connection.run("\(FencedScript.mark); COMMIT", deadline: deadline)
    } catch {
      if let state = error.state, state == Refusal.identity || state.hasPrefix("22") {
        try rollBack()
        return .refused(error.message)
      }
      return try again(judge(error, activation))
    }
    let end = try judge(commit, results: 2, expecting: { _ in true })
    if case .committed = end { return .done(answer) }
    return again(end)
  }
  private func again(_ end: AttemptEnd) -> StreamsEnd {
    switch end {
    case .committed, .unknown, .retry: .again
    case .claimRefused(let reason), .noPartition(let reason), .poison(let reason): .refused(reason)
    }
  }
}
