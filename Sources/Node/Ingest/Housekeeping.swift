// The rounds of a thread that keeps house beside the lanes, while its node is active: retention, rollups.
internal import Platform
internal import Postgres

enum HousekeepingCommand: Equatable, Sendable { case activate(Activation), halt, shutDown }

/// When the next round is, and whether there is one. Owned by the thread.
struct Housekeeping: ~Copyable {
  let mailbox: Mailbox<HousekeepingCommand>
  /// Raised behind a command that ends a round: waits for PostgreSQL end with it.
  let interrupt: Interrupt
  /// After a takeover the first round comes this much later: it is never in its way.
  let delayMilliseconds: Int64
  var nextRound = BootInstant.now()
  private var activation: Activation?

  init(
    mailbox: Mailbox<HousekeepingCommand>, interrupt: Interrupt, delayMilliseconds: Int64
  ) {
    (self.mailbox, self.interrupt, self.delayMilliseconds) = (mailbox, interrupt, delayMilliseconds)
  }

  /// Waits until a round is due; nil when the thread is to end. `halted` is called when the node leads no more.
  mutating func awaitRound(halted: () -> Void = {}) -> Activation? {
    while true {
      // Before the commands are read: the interrupt of one that comes later has to end the round.
      interrupt.clear()
      for command in mailbox.takeAll() {
        switch command {
        case .activate(let activation):
          self.activation = activation
          nextRound = .after(milliseconds: delayMilliseconds)
        case .halt:
          activation = nil
          halted()
        case .shutDown: return nil
        }
      }
      if let activation, BootInstant.now() >= nextRound { return activation }
      _ = wait(mailbox.descriptor, for: .read, until: activation == nil ? nil : nextRound)
    }
  }
  /// False as soon as there is a command.
  var mayGoOn: Bool { wait(mailbox.descriptor, for: .read, until: .now()).isEmpty }
}

/// A failure that lasts is told again each ten minutes: one line alone is soon out of everybody's sight.
struct LastingFailure: Equatable, Sendable {
  private var reason = ""
  private var again = BootInstant(nanoseconds: 0)

  mutating func isDue(_ reason: String, at now: BootInstant) -> Bool {
    if reason == self.reason, now < again { return false }
    (self.reason, again) = (reason, now.adding(milliseconds: 600_000))
    return true
  }
  mutating func ended() { reason = "" }
}
