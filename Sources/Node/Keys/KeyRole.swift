// The thread "keys": reads the beats' key files again when they change, and says in PostgreSQL which keys are in use.
internal import Platform
internal import Postgres

/// Two looks a second at a few small files; a report when something changed, and every few seconds.
final class KeyRole: Sendable {
  private let keys: BeatKeys
  private let sessions: DatabaseSessions
  private let stopping: Mailbox<Bool>
  private let interrupt: Interrupt

  static let lookMilliseconds: Int64 = 500
  private static let reportMilliseconds: Int64 = 3000

  init(keys: BeatKeys, sessions: DatabaseSessions) throws(SystemError) {
    (self.keys, self.sessions) = (keys, sessions)
    stopping = try Mailbox(capacity: 1)
    interrupt = try Interrupt()
  }
  func shutDown() {
    stopping.close()
    interrupt.raise()
  }

  func run() {
    var session: Connection? = nil
    var nextReport = BootInstant.now()
    var unreadable = LastingFailure()
    var unreported = LastingFailure()
    while !stopping.isClosed {
      // What is reported has been in use for a whole round: beats that were on their way then have arrived.
      if BootInstant.now() >= nextReport {
        do throws(PostgresError) {
          var standing = if let known = session.take() { known } else { try connect() }
          try report(&standing)
          session = consume standing
          unreported.ended()
          nextReport = .after(milliseconds: Self.reportMilliseconds)
        } catch {
          nextReport = .after(milliseconds: 1000)
          if error.reason != .interrupted, unreported.isDue("\(error)", at: .now()) {
            log(.warning, "keys of the beats can't be reported", ["reason": "\(error)"])
          }
        }
      }
      do throws(BeatKeyFlaw) {
        if try keys.readAgain() {
          nextReport = .now()
          let fingerprints = keys.current.map(beatKeyFingerprint)
          log(
            .notice, "keys of the beats changed",
            ["signs": fingerprints.first ?? "", "accepts": fingerprints.joined(separator: " ")])
        }
        unreadable.ended()
      } catch {
        if unreadable.isDue(error.problem, at: .now()) {
          log(
            .error, "a key of the beats can't be read, the known ones stay",
            ["reason": error.problem, "mend": error.mend])
        }
      }
      _ = wait(stopping.descriptor, for: .read, until: .after(milliseconds: Self.lookMilliseconds))
    }
  }

  private func connect() throws(PostgresError) -> Connection {
    try sessions.open(.keys, deadline: .after(milliseconds: 2000), interrupt: interrupt)
  }
  private func report(_ session: inout Connection) throws(PostgresError) {
    let fingerprints = keys.current.map(beatKeyFingerprint)
    guard let first = fingerprints.first else { return }
    _ = try session.query(
      "SELECT ha.report_keys($1, $2, $3, $4::text[])",
      [sessions.node, "\(sessions.incarnation)", first, "{\(fingerprints.joined(separator: ","))}"],
      deadline: .after(milliseconds: 2000))
  }
}
