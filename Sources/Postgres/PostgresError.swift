// What can go wrong between us and PostgreSQL, as far as a caller may act on it.

/// A failed call: why, PostgreSQL's own sentence, and for a server's refusal its SQLSTATE and constraint.
public struct PostgresError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Reason: Equatable, Sendable {
    /// No session could be opened.
    case connect
    /// The deadline passed. What the server did is unknown, and the connection is of no further use.
    case deadline
    /// Another thread raised the interrupt. As with `deadline`, the outcome is unknown.
    case interrupted
    /// The session ended under us; the outcome of what ran is unknown.
    case lost
    /// The server refused; `state` is the SQLSTATE (5 characters).
    case server(state: String)
    /// Our own mistake in the use of the protocol.
    case misuse
  }
  public var reason: Reason
  public var message: String
  /// The violated constraint's name, where the server gave one.
  public var constraint: String?

  public init(_ reason: Reason, _ message: String, constraint: String? = nil) {
    self.reason = reason
    self.message = message
    self.constraint = constraint
  }
  /// The SQLSTATE of a refusal; nil for everything else.
  public var state: String? {
    switch reason {
    case .server(let state): state
    case .connect, .deadline, .interrupted, .lost, .misuse: nil
    }
  }
  public var description: String {
    let first = message.split(separator: "\n").first.map(String.init) ?? "no reason given"
    return switch reason {
    case .connect: "cannot connect: \(first)"
    case .deadline: "no answer in time: \(first)"
    case .interrupted: "interrupted: \(first)"
    case .lost: "session lost: \(first)"
    case .server(let state): "\(first) (SQLSTATE \(state))"
    case .misuse: "misuse: \(first)"
    }
  }
}

/// One statement's answer: its command tag (`COPY 100`, `COMMIT`) and its rows as text, nil for NULL.
public struct ResultSet: Equatable, Sendable {
  public var command: String
  public var rows: [[String?]]
  /// Their names.
  public var columns: [String]
  public init(command: String, rows: [[String?]], columns: [String] = []) {
    self.command = command
    self.rows = rows
    self.columns = columns
  }
}

/// The answers of a script in order, and the warnings (not notices) that came with them.
public struct Outcome: Equatable, Sendable {
  public var results: [ResultSet]
  public var warnings: [String]
  /// The first value of the first row of the first statement that returned rows.
  public var scalar: String? { results.first { !$0.rows.isEmpty }?.rows.first?.first ?? nil }
  /// All rows of the first statement that returned rows.
  public var rows: [[String?]] { results.first { !$0.rows.isEmpty }?.rows ?? [] }
}
