// Asks the LAN again and again who has an address, and reports every answer: proof of how many hosts hold it.

/// Does not need to be on a node: any host of the LAN sees every holder. Needs CAP_NET_RAW.
public struct LanProber: ~Copyable {
  /// One answer. Two answers to one question from different hardware are two holders at once.
  public struct Answer: Hashable, Sendable {
    public var hardware: HardwareAddress
    public var at: BootInstant
    /// Counts the questions from 1; the last one asked when the answer came.
    public var question: Int
  }
  private var socket: LanSocket
  public private(set) var questions = 0

  /// `ENODEV` when there is no interface of that name in this network namespace.
  public init(_ address: IPAddress, interface: String) throws(SystemError) {
    var netlink = try Netlink()
    guard let link = try netlink.links().first(where: { $0.name == interface }) else {
      throw SystemError(call: "interface \(interface)", code: 19)
    }
    socket = try LanSocket(address, on: link)
  }

  /// Asks every `intervalMilliseconds` until `deadline` or until `onAnswer` returns false. A question that cannot be
  /// sent (the link is down) is counted like one that nobody answers.
  public mutating func run(
    everyMilliseconds intervalMilliseconds: Int64, until deadline: BootInstant, onAnswer: (Answer) -> Bool
  ) {
    precondition(intervalMilliseconds > 0)
    var next = BootInstant.now()
    while next < deadline {
      questions += 1
      // A link that is down now may be up again for the next question.
      _ = try? socket.ask()
      next = max(next.adding(milliseconds: intervalMilliseconds), .now())
      while !wait(socket.descriptor, for: .read, until: min(next, deadline)).isEmpty {
        let now = BootInstant.now()
        for hardware in socket.claimants() {
          if !onAnswer(Answer(hardware: hardware, at: now, question: questions)) { return }
        }
        if now >= next { break }
      }
    }
  }
}
