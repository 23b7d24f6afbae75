// The thread "tokens" of every node, active or not: reads the tokens when NOTIFY says that they changed, and looks each
// second whether they did.
internal import Platform
internal import Postgres

/// Owns one session that listens.
struct TokenRole: ~Copyable {
  enum Command: Sendable {
    /// The node became active: nobody who needs a token is admitted before the next answer.
    case readNow
    case shutDown
  }
  private let sessions: DatabaseSessions
  private let desk: TokenDesk
  private let commands: Mailbox<Command>
  private let interrupt: Interrupt
  /// The tokens were read; true when they changed.
  private let read: @Sendable (Bool) -> Void
  private var session: Session?
  /// Of the table that the desk has.
  private var revision: Int64?
  private var failure = LastingFailure()

  /// A class, so that it can be dropped from within.
  private final class Session {
    var connection: Connection
    init(_ connection: consuming Connection) { self.connection = connection }
  }

  static let pollMilliseconds: Int64 = 1000
  private static let deadlineMilliseconds: Int64 = 2000

  init(
    sessions: DatabaseSessions, desk: TokenDesk, commands: Mailbox<Command>, interrupt: Interrupt,
    read: @escaping @Sendable (Bool) -> Void
  ) {
    (self.sessions, self.desk, self.commands) = (sessions, desk, commands)
    (self.interrupt, self.read) = (interrupt, read)
  }

  mutating func run() {
    sessions.refreshEndpoints()
    while true {
      look()
      let next = BootInstant.after(milliseconds: Self.pollMilliseconds)
      let lookedAt = BootInstant.now()
      var mustLook = false
      while !mustLook, BootInstant.now() < next {
        _ = waitAny(
          [(commands.descriptor, .read), (session?.connection.descriptor ?? -1, .read)], until: next)
        for command in commands.takeAll() {
          switch command {
          case .readNow: mustLook = true
          case .shutDown: return
          }
        }
        guard let session else { continue }
        if session.connection.takeNotifications() > 0 {
          mustLook = true
          // Anybody may send NOTIFY: however often they do, it is not asked more often than this.
          sleep(until: lookedAt.adding(milliseconds: 20))
        }
        // Gone: its descriptor would be readable for ever.
        if !session.connection.isAlive() {
          self.session = nil
          mustLook = true
        }
      }
    }
  }

  private mutating func look() {
    let asked = BootInstant.now()
    do throws(PostgresError) {
      let session = try connected()
      let table = try newTable(session)
      _ = session.connection.takeNotifications()
      let isNew = desk.wasRead(table, at: asked)
      if let table { revision = table.revision }
      failure.ended()
      read(isNew)
    } catch {
      session = nil
      if error.reason == .interrupted { interrupt.clear() }
      if error.reason == .connect { sessions.refreshEndpoints() }
      if error.reason != .interrupted, failure.isDue("\(error)", at: .now()) {
        log(.warning, "tokens can't be read", ["reason": "\(error)"])
      }
    }
  }

  private mutating func connected() throws(PostgresError) -> Session {
    if let session { return session }
    let opened = Session(
      try sessions.open(.tokens, deadline: .after(milliseconds: Self.deadlineMilliseconds), interrupt: interrupt))
    // Before the first read: what changes after it is told.
    _ = try opened.connection.run("LISTEN standwatch_tokens", deadline: deadline)
    // Another server may count its revisions otherwise.
    revision = nil
    session = opened
    return opened
  }
  private var deadline: BootInstant { .after(milliseconds: Self.deadlineMilliseconds) }

  /// Nil when it is still the one the desk has.
  private func newTable(_ session: Session) throws(PostgresError) -> TokenTable? {
    let row = try session.connection.run(
      """
      SELECT a.revision, max(coalesce(s.value, s.default_value)) FILTER (WHERE s.key = 'require_tokens'), \
      max(coalesce(s.value, s.default_value)) FILTER (WHERE s.key = 'open_protocols') \
      FROM auth.state AS a CROSS JOIN ha.setting AS s GROUP BY a.revision
      """, deadline: deadline
    ).rows.first.map(Fields.init)
    guard let row, let found = row.int(0) else { throw PostgresError(.misuse, "auth.state has no row") }
    if found == revision { return nil }
    var table = TokenTable(revision: found, isRequired: row.text(1) == "on")
    table.open = Set((row.text(2) ?? "").split(separator: ",").compactMap { OpenProtocol(rawValue: String($0)) })
    let rows = try session.connection.run(
      "SELECT t.id, t.source, pg_catalog.encode(t.hash, 'hex'), t.revoked_at IS NOT NULL FROM auth.token AS t",
      deadline: deadline
    ).rows
    for row in rows.map(Fields.init) {
      guard let id = row.int(0), let source = row.text(1),
        let hash = row.text(2).flatMap({ bytes(hexadecimal: $0.utf8) })
      else { continue }
      table.entries[id] = TokenTable.Entry(source: source, hash: hash, isRevoked: row.bool(3))
    }
    return table
  }
}
