// The tool's end of a node's control socket.
internal import Node
internal import Platform

/// Why the node on this host did not answer.
struct ControlError: Error, Equatable, CustomStringConvertible {
  enum Reason: Equatable { case notRunning, noPermission, noAnswer }
  var reason: Reason
  var description: String
}

/// One connection; requests go one after the other.
struct ControlClient: ~Copyable {
  private let socket: Descriptor
  private let path: String
  private var buffer: [UInt8] = []

  init(path: String) throws(ControlError) {
    self.path = path
    guard let address = SocketAddress(unixPath: path) else {
      throw ControlError(reason: .notRunning, description: "\(path) is too long for a socket's name")
    }
    do { socket = try connectStream(address, deadline: .after(milliseconds: 2000)) } catch {
      let permission = errorText(error.code) == errorText(13)
      throw ControlError(
        reason: permission ? .noPermission : .notRunning, description: "\(path): \(errorText(error.code))")
    }
  }

  /// Sends one request and waits for its answer.
  mutating func ask(_ request: OperatorRequest, deadline: BootInstant) throws(ControlError) -> OperatorReply {
    let line = request.encoded() + [UInt8(ascii: "\n")]
    var sent = 0
    while sent < line.count {
      switch send(socket.raw, line, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock:
        if wait(socket.raw, for: .write, until: deadline).isEmpty { throw noAnswer("it takes no request") }
      case .closed, .failed: throw noAnswer("it closed the connection")
      }
    }
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
        let answer = Array(buffer[..<end])
        buffer.removeSubrange(...end)
        guard let reply = OperatorReply(decoding: answer) else { throw noAnswer("its answer is of another release") }
        return reply
      }
      guard buffer.count < 4 << 20 else { throw noAnswer("its answer has no end") }
      if wait(socket.raw, for: .read, until: deadline).isEmpty { throw noAnswer("no answer in time; it may hang") }
      switch receive(socket.raw, into: &chunk) {
      case .done(let count): buffer.append(contentsOf: chunk[..<count])
      case .wouldBlock: break
      case .closed, .failed: throw noAnswer("it closed the connection")
      }
    }
  }
  private func noAnswer(_ why: String) -> ControlError {
    ControlError(reason: .noAnswer, description: "the node at \(path): \(why)")
  }
}

/// The status of the node on this host.
func askStatus(_ configuration: NodeConfiguration, milliseconds: Int64 = 3000) throws(ControlError) -> NodeStatus {
  var client = try ControlClient(path: configuration.controlSocketPath)
  let reply = try client.ask(.status, deadline: .after(milliseconds: milliseconds))
  guard let status = reply.status else {
    throw ControlError(reason: .noAnswer, description: "the node refused: \(reply.message)")
  }
  return status
}
