// A client's connection: a socket it owns, and the TLS session over it where there is one.
public import Platform

/// How a transfer over a link went.
public enum LinkTransfer: Equatable, Sendable {
  case done(Int)
  case wouldBlock
  case closed
  /// Why, for people.
  case failed(String)
}

public struct ClientLink: ~Copyable {
  private let socket: Descriptor
  private var session: TLSSession?
  private var isWaitingToWrite = false

  /// Over a socket that is connecting. `credentials`: nil for plain text. `serverName`: what the server's certificate
  /// has to be for.
  public init(_ socket: consuming Descriptor, credentials: TLSCredentials?, serverName: String) {
    session = credentials.map { TLSSession.client(socket.raw, $0, serverName: serverName) }
    self.socket = socket
  }

  public var raw: Int32 { socket.raw }
  /// Whether handshake or reading wait for room to write.
  public var wantsWrite: Bool { isWaitingToWrite }

  /// Goes on with the handshake once the socket is connected; done at once in plain text.
  public mutating func handshake() -> TLSProgress {
    let progress = session?.handshake() ?? .done
    isWaitingToWrite = session?.wantsWrite ?? false
    return progress
  }
  /// Reads once into `buffer` from `offset` on. Read until it would block: a session may hold more than the socket tells.
  public mutating func receive(into buffer: inout [UInt8], from offset: Int) -> LinkTransfer {
    guard let transfer = session?.receive(into: &buffer, from: offset) else {
      return told(Platform.receive(socket.raw, into: &buffer, from: offset))
    }
    isWaitingToWrite = session?.wantsWrite ?? false
    return told(transfer)
  }
  /// Writes once from `offset` on, up to `end`. After `.wouldBlock` the same bytes, or more, have to be given.
  public mutating func send(_ bytes: [UInt8], from offset: Int = 0, upTo end: Int? = nil) -> LinkTransfer {
    guard let transfer = session?.send(bytes, from: offset, upTo: end) else {
      return told(Platform.send(socket.raw, bytes, from: offset, upTo: end))
    }
    return told(transfer)
  }

  private func told(_ transfer: Transfer) -> LinkTransfer {
    switch transfer {
    case .done(let count): .done(count)
    case .wouldBlock: .wouldBlock
    case .closed: .closed
    case .failed(let code): .failed(errorText(code))
    }
  }
  private func told(_ transfer: TLSTransfer) -> LinkTransfer {
    switch transfer {
    case .done(let count): .done(count)
    case .wouldBlock: .wouldBlock
    case .closed: .closed
    case .failed(let failure): .failed("TLS: \(failure.sentence(about: "the service"))")
    }
  }
}
