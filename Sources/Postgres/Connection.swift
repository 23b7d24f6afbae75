// One libpq connection, non-blocking, every wait bounded by a deadline on the boot clock.
internal import CPostgres
public import Platform

/// A session with PostgreSQL. Used by one thread at a time; closed when it goes out of scope.
@safe public struct Connection: ~Copyable {
  let handle: OpaquePointer
  private let notices: Notices
  private let interrupt: Interrupt?

  // Sound: `handle` is the connection that PQconnectStartParams gave us, finished exactly once, in deinit.
  private init(handle: OpaquePointer, interrupt: Interrupt?) {
    unsafe self.handle = handle
    notices = Notices()
    self.interrupt = interrupt
  }
  deinit { unsafe PQfinish(handle) }

  /// Opens a session on the first of `endpoints` that answers, all tried in parallel. `settings` are libpq keywords
  /// (`application_name`, `target_session_attrs`, ...) that override the connection string's.
  public static func open(
    _ endpoints: [Endpoint], settings: [(keyword: String, value: String)] = [], deadline: BootInstant,
    interrupt: Interrupt? = nil
  ) throws(PostgresError) -> Connection {
    if endpoints.isEmpty { throw PostgresError(.connect, "no address of the database is known") }
    var race = Race(interrupt: interrupt)
    for endpoint in endpoints { race.start(endpoint, settings) }
    return try race.run(until: deadline)
  }

  /// The pid of the server process, as the server said at the start of the session.
  public var backend: Int32 { unsafe PQbackendPID(handle) }
  /// As an integer: 150004 is 15.4.
  public var serverVersion: Int32 { unsafe PQserverVersion(handle) }
  public var inTransaction: Bool { unsafe PQtransactionStatus(handle) != PQTRANS_IDLE }
  /// Readable when the server closed the session or said something unasked.
  public var descriptor: Int32 { unsafe PQsocket(handle) }
  /// Reads what came unasked; false when the session is gone.
  public mutating func isAlive() -> Bool { unsafe PQconsumeInput(handle) == 1 && PQstatus(handle) == CONNECTION_OK }

  /// What a COPY is fed with.
  public enum CopyEnd: Equatable, Sendable { case done, fail(reason: String) }

  /// Runs a script of statements. Each `COPY ... FROM STDIN` in it calls `copy` with its number (0, 1, ...), which puts
  /// the data and says whether it is whole. All answers are read to the end; the first refusal is thrown.
  public mutating func run(
    _ script: String, deadline: BootInstant,
    copy: (Int, borrowing CopyStream) throws(PostgresError) -> CopyEnd = { _, _ throws(PostgresError) in
      throw PostgresError(.misuse, "no data for COPY")
    }
  ) throws(PostgresError) -> Outcome {
    guard unsafe PQsendQuery(handle, script) == 1 else { throw failure(sendReason()) }
    return try collect(deadline, copy)
  }

  /// Runs one statement with text parameters, nil for NULL.
  public mutating func query(
    _ statement: String, _ parameters: [String?], deadline: BootInstant
  ) throws(PostgresError) -> Outcome {
    let sent = unsafe withOptionalCStrings(parameters) { values in
      unsafe PQsendQueryParams(handle, statement, Int32(parameters.count), nil, values, nil, nil, 0)
    }
    guard sent == 1 else { throw failure(sendReason()) }
    return try collect(deadline) { _, _ throws(PostgresError) in throw PostgresError(.misuse, "COPY with parameters") }
  }

  private func sendReason() -> PostgresError.Reason { unsafe PQstatus(handle) == CONNECTION_BAD ? .lost : .misuse }

  private mutating func collect(
    _ deadline: BootInstant, _ copy: (Int, borrowing CopyStream) throws(PostgresError) -> CopyEnd
  ) throws(PostgresError) -> Outcome {
    notices.warnings = []
    var outcome = Outcome(results: [], warnings: [])
    var refused: PostgresError?
    var copies = 0
    try flush(deadline)
    while true {
      try awaitResult(deadline)
      guard let result = unsafe PQgetResult(handle) else { break }
      defer { unsafe PQclear(result) }
      switch unsafe PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
        unsafe outcome.results.append(resultSet(result))
      case PGRES_COPY_IN:
        try feed(copies, deadline, copy)
        copies += 1
      case PGRES_FATAL_ERROR:
        if refused == nil { refused = unsafe refusal(result) }
      default: throw PostgresError(.misuse, "unexpected answer")
      }
    }
    outcome.warnings = notices.warnings
    if let refused { throw refused }
    if unsafe PQstatus(handle) == CONNECTION_BAD { throw failure(.lost) }
    return outcome
  }

  // Sound: `result` is alive until the caller's PQclear; every text is copied.
  private func resultSet(_ result: OpaquePointer) -> ResultSet {
    let columns = unsafe PQnfields(result)
    let rows = unsafe (0..<PQntuples(result)).map { row in
      (0..<columns).map { column in
        unsafe PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
      }
    }
    let names = (0..<columns).map { unsafe String(cString: PQfname(result, $0)) }
    return unsafe ResultSet(command: String(cString: PQcmdStatus(result)), rows: rows, columns: names)
  }
  private func refusal(_ result: OpaquePointer) -> PostgresError {
    func field(_ code: Character) -> String? {
      unsafe PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { unsafe String(cString: $0) }
    }
    let message = unsafe String(cString: PQresultErrorMessage(result))
    guard let state = field("C") else { return PostgresError(.lost, message) }
    // 57P01 to 57P03 and 08xxx: the server ends the session; whatever ran has an unknown outcome.
    if unsafe PQstatus(handle) == CONNECTION_BAD || state.hasPrefix("08") { return PostgresError(.lost, message) }
    return PostgresError(.server(state: state), field("M") ?? message, constraint: field("n"))
  }

  private func failure(_ reason: PostgresError.Reason) -> PostgresError {
    PostgresError(reason, unsafe String(cString: PQerrorMessage(handle)))
  }

  private func awaitResult(_ deadline: BootInstant) throws(PostgresError) {
    while unsafe PQisBusy(handle) == 1 {
      try awaitReady(.read, deadline, "answer")
      if unsafe PQconsumeInput(handle) == 0 { throw failure(.lost) }
    }
  }
  private func flush(_ deadline: BootInstant) throws(PostgresError) {
    while true {
      switch unsafe PQflush(handle) {
      case 0: return
      case 1: try drain(deadline)
      default: throw failure(.lost)
      }
    }
  }
  /// Waits until the socket takes more, and reads meanwhile: a server that answers must not stop us both.
  fileprivate func drain(_ deadline: BootInstant) throws(PostgresError) {
    if try awaitReady([.read, .write], deadline, "room to send").contains(.read), unsafe PQconsumeInput(handle) == 0 {
      throw failure(.lost)
    }
  }
  @discardableResult
  private func awaitReady(_ wanted: Ready, _ deadline: BootInstant, _ what: String) throws(PostgresError) -> Ready {
    let ready = waitAny([(descriptor, wanted), (interrupt?.descriptor ?? -1, .read)], until: deadline)
    guard ready.count == 2 else { throw PostgresError(.deadline, what) }
    if !ready[1].isEmpty { throw PostgresError(.interrupted, what) }
    return ready[0]
  }

  private func feed(
    _ number: Int, _ deadline: BootInstant,
    _ copy: (Int, borrowing CopyStream) throws(PostgresError) -> CopyEnd
  ) throws(PostgresError) {
    let stream = unsafe CopyStream(handle: handle, interrupt: interrupt, deadline: deadline)
    let end = try copy(number, stream)
    while true {
      let ended: Int32
      switch end {
      case .done: ended = unsafe PQputCopyEnd(handle, nil)
      case .fail(let reason): ended = unsafe PQputCopyEnd(handle, reason)
      }
      if ended == 1 { break }
      if ended < 0 { throw failure(.lost) }
      try drain(deadline)
    }
    try flush(deadline)
  }

  /// What the server says beside its answers; only warnings are kept, at most 16.
  fileprivate final class Notices { var warnings: [String] = [] }

  /// Connects the receiver; call once, when the session stands.
  fileprivate func receiveNotices() {
    unsafe PQsetNoticeReceiver(handle, noteWarning, Unmanaged.passUnretained(notices).toOpaque())
  }

  fileprivate static func adopt(_ handle: OpaquePointer, _ interrupt: Interrupt?) -> Connection {
    let connection = unsafe Connection(handle: handle, interrupt: interrupt)
    connection.receiveNotices()
    unsafe PQsetnonblocking(handle, 1)
    return connection
  }
}

// Sound: the context is the connection's own `Notices`, which lives as long as the handle that calls us.
private func noteWarning(_ context: UnsafeMutableRawPointer?, _ result: OpaquePointer?) {
  guard let context = unsafe context, let result = unsafe result else { return }
  let notices = unsafe Unmanaged<Connection.Notices>.fromOpaque(context).takeUnretainedValue()
  guard notices.warnings.count < 16,
    let severity = unsafe PQresultErrorField(result, Int32(UInt8(ascii: "V"))),
    unsafe String(cString: severity) == "WARNING",
    let text = unsafe PQresultErrorField(result, Int32(UInt8(ascii: "M")))
  else { return }
  unsafe notices.warnings.append(String(cString: text))
}

/// The data of one COPY on its way to the server.
@safe public struct CopyStream: ~Copyable {
  private let handle: OpaquePointer
  private let interrupt: Interrupt?
  private let deadline: BootInstant
  fileprivate init(handle: OpaquePointer, interrupt: Interrupt?, deadline: BootInstant) {
    unsafe self.handle = handle
    self.interrupt = interrupt
    self.deadline = deadline
  }
  /// Sends bytes; returns when libpq has them and its buffer is below its bound.
  public func put(_ bytes: RawSpan) throws(PostgresError) {
    var offset = 0
    while offset < bytes.byteCount {
      let end = min(offset + 65536, bytes.byteCount)
      // Sound: the pointer is used only inside the closure, for the bytes of the slice.
      let sent = unsafe bytes.extracting(offset..<end).withUnsafeBytes { raw in
        unsafe PQputCopyData(handle, raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(raw.count))
      }
      if sent < 0 { throw lost() }
      if sent == 1 { offset = end }
      while true {
        let state = unsafe PQflush(handle)
        if state == 0 { break }
        if state < 0 { throw lost() }
        let ready = unsafe waitAny(
          [(PQsocket(handle), [.read, .write]), (interrupt?.descriptor ?? -1, .read)], until: deadline)
        guard ready.count == 2 else { throw PostgresError(.deadline, "room to send") }
        if !ready[1].isEmpty { throw PostgresError(.interrupted, "COPY") }
        if ready[0].contains(.read), unsafe PQconsumeInput(handle) == 0 { throw lost() }
      }
    }
  }
  private func lost() -> PostgresError { PostgresError(.lost, unsafe String(cString: PQerrorMessage(handle))) }
}

/// Connection attempts that run side by side; the first that stands wins, the others are closed.
private struct Race: ~Copyable {
  // Sound: each handle is finished once, when its attempt is dropped, or adopted.
  @safe private struct Attempt {
    var handle: OpaquePointer
    var name: String
    var wanted: Ready
  }
  private var attempts: [Attempt] = []
  private var failures: [String] = []
  private let interrupt: Interrupt?

  init(interrupt: Interrupt?) { self.interrupt = interrupt }
  deinit { for index in attempts.indices { unsafe PQfinish(attempts[index].handle) } }

  mutating func start(_ endpoint: Endpoint, _ settings: [(keyword: String, value: String)]) {
    let overridden = Set(settings.map(\.keyword))
    let all = endpoint.settings.filter { !overridden.contains($0.keyword) } + settings
    // Sound: both arrays end in NULL and outlive the call; libpq copies what it keeps.
    let started = unsafe withOptionalCStrings(all.map(\.keyword) + [nil]) { keywords in
      unsafe withOptionalCStrings(all.map(\.value) + [nil]) { values in
        unsafe PQconnectStartParams(keywords, values, 0)
      }
    }
    guard let handle = unsafe started else {
      failures.append("\(endpoint): out of memory")
      return
    }
    unsafe attempts.append(Attempt(handle: handle, name: endpoint.description, wanted: .write))
    if unsafe PQstatus(handle) == CONNECTION_BAD { drop(attempts.count - 1) }
  }

  mutating func run(until deadline: BootInstant) throws(PostgresError) -> Connection {
    while !attempts.isEmpty {
      // The socket of an attempt may change between two polls.
      var wishes = attempts.map { (unsafe PQsocket($0.handle), $0.wanted) }
      wishes.append((interrupt?.descriptor ?? -1, .read))
      let ready = waitAny(wishes, until: deadline)
      if ready.isEmpty {
        let waiting = attempts.map { $0.name }.joined(separator: ", ")
        throw PostgresError(.connect, (failures + ["no answer in time from \(waiting)"]).joined(separator: "; "))
      }
      if !ready[attempts.count].isEmpty { throw PostgresError(.interrupted, "connecting") }
      for index in attempts.indices.reversed() where !ready[index].isEmpty {
        switch unsafe PQconnectPoll(attempts[index].handle) {
        case PGRES_POLLING_READING: attempts[index].wanted = .read
        case PGRES_POLLING_WRITING: attempts[index].wanted = .write
        case PGRES_POLLING_OK: return unsafe Connection.adopt(unsafe attempts.remove(at: index).handle, interrupt)
        default: drop(index)
        }
      }
    }
    throw PostgresError(.connect, failures.joined(separator: "; "))
  }
  private mutating func drop(_ index: Int) {
    let attempt = attempts.remove(at: index)
    unsafe failures.append("\(attempt.name): \(String(cString: PQerrorMessage(attempt.handle)))")
    unsafe PQfinish(attempt.handle)
  }
}

// Sound: the copies live until `body` returns.
private func withOptionalCStrings<R>(_ strings: [String?], _ body: ([UnsafePointer<CChar>?]) -> R) -> R {
  let copies: [ContiguousArray<CChar>?] = strings.map { $0.map { $0.utf8CString } }
  func next(_ index: Int, _ pointers: [UnsafePointer<CChar>?]) -> R {
    guard index < copies.count else { return unsafe body(pointers) }
    guard let copy = copies[index] else { return unsafe next(index + 1, pointers + [nil]) }
    return unsafe copy.withUnsafeBufferPointer { unsafe next(index + 1, pointers + [$0.baseAddress]) }
  }
  return unsafe next(0, [])
}
