// A TLS session over a non-blocking stream socket, of either side; calls return at once and say how it went.
//
// TLS 1.3 and 1.2 with forward secrecy and authenticated ciphers only. Not GnuTLS's SECURE192: that would refuse the
// certificates that most stock senders have (RSA with 2048 bits, P-256). No tickets and no cache: a handshake is cheap
// beside a takeover, and nodes share no key that could open recorded sessions. No renegotiation.
internal import CGnuTLS
internal import Platform

private let priority =
  "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:"
  + "+CHACHA20-POLY1305:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE"

/// The first byte of a client's TLS connection (RFC 8446, 5.1: a handshake record). No protocol of ours begins with it.
public let firstByteOfTLS: UInt8 = 0x16

public enum TLSProgress: Equatable, Sendable {
  case done
  /// The socket has to become ready first: see `wantsWrite`.
  case wouldBlock
  case failed(TLSFailure)
}
public enum TLSTransfer: Equatable, Sendable {
  case done(Int)
  /// The socket has to become ready first: see `wantsWrite`.
  case wouldBlock
  /// The other side ended its direction of the session, as it should.
  case closed
  case failed(TLSFailure)
}

/// Does not own the socket, which has to outlive it.
@safe public struct TLSSession: ~Copyable {
  private let handle: gnutls_session_t
  private let credentials: TLSCredentials
  private let isServer: Bool
  private let serverName: String
  /// Whether the handshake, or reading, waits for room to write. Sending waits for that always.
  public private(set) var wantsWrite = false
  /// The handshake is over: only then can anything be sent.
  public private(set) var isEstablished = false
  /// Bytes given to `send` that are encrypted and not all written: they are no longer the caller's to change.
  private var isSending = false
  private var failure: TLSFailure?

  /// Clients have to show a certificate when `credentials` has authorities.
  public static func server(_ descriptor: Int32, _ credentials: TLSCredentials) -> TLSSession {
    TLSSession(descriptor, credentials, isServer: true, serverName: "")
  }
  /// `serverName`: DNS name or numeric address that the server's certificate has to be for.
  public static func client(_ descriptor: Int32, _ credentials: TLSCredentials, serverName: String) -> TLSSession {
    TLSSession(descriptor, credentials, isServer: false, serverName: serverName)
  }

  private init(_ descriptor: Int32, _ credentials: TLSCredentials, isServer: Bool, serverName: String) {
    var made: gnutls_session_t?
    // A client shows what it has also where the server names other authorities: then it is told what is wrong with it.
    let side = isServer ? GNUTLS_SERVER.rawValue : GNUTLS_CLIENT.rawValue | GNUTLS_FORCE_CLIENT_CERT.rawValue
    let flags = side | GNUTLS_NONBLOCK.rawValue | GNUTLS_NO_SIGNAL.rawValue | GNUTLS_NO_TICKETS.rawValue
    let code = unsafe gnutls_init(&made, UInt32(flags))
    guard code == 0, let made = unsafe made else { preconditionFailure("no memory for a session: \(code)") }
    unsafe handle = made
    (self.credentials, self.isServer, self.serverName) = (credentials, isServer, serverName)
    let understood = unsafe gnutls_priority_set_direct(made, priority, nil)
    precondition(understood == 0, "gnutls_priority_set_direct: \(understood)")
    // Sound: GnuTLS keeps a pointer to the credentials, which `self.credentials` keeps alive.
    unsafe gnutls_credentials_set(made, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(credentials.handle))
    unsafe gnutls_transport_set_int2(made, descriptor, descriptor)
    if isServer, credentials.hasAuthorities {
      unsafe gnutls_certificate_server_set_request(made, GNUTLS_CERT_REQUIRE)
    }
    if !isServer, !serverName.isEmpty, SocketAddress(host: serverName, port: 0) == nil {
      // A name that is none is refused when the certificate is compared with it.
      let name = Array(serverName.utf8)
      _ = unsafe gnutls_server_name_set(made, GNUTLS_NAME_DNS, name, name.count)
    }
  }
  deinit { unsafe gnutls_deinit(handle) }

  // MARK: the beginning

  /// Goes on with the handshake. `.done` once: the other side's certificate is verified then, and only then data flows.
  public mutating func handshake() -> TLSProgress {
    if let failure { return .failed(failure) }
    // Warnings that change nothing are passed over, but not for ever.
    for _ in 0..<16 {
      let code = unsafe gnutls_handshake(handle)
      if code == GNUTLS_E_SUCCESS { return verify() }
      if code == GNUTLS_E_AGAIN { return blocked() }
      if code == GNUTLS_E_INTERRUPTED || gnutls_error_is_fatal(code) == 0 { continue }
      return .failed(fail(code))
    }
    return .failed(give(up: .other("nothing but warnings came")))
  }

  private mutating func verify() -> TLSProgress {
    guard !isServer || credentials.hasAuthorities else {
      return established()
    }
    var status: UInt32 = 0
    let purpose = Array((isServer ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1").utf8) + [0]
    let name = Array(serverName.utf8) + [0]
    var code: Int32 = 0
    // Sound: both texts end in a NUL and live during the call, and GnuTLS keeps neither.
    unsafe withMutableCopy(of: purpose) { purpose in
      unsafe withMutableCopy(of: name) { name in
        var asked = unsafe [
          gnutls_typed_vdata_st(type: GNUTLS_DT_KEY_PURPOSE_OID, data: purpose, size: 0),
          gnutls_typed_vdata_st(type: GNUTLS_DT_DNS_HOSTNAME, data: name, size: 0),
        ]
        code = unsafe gnutls_certificate_verify_peers(handle, &asked, isServer ? 1 : 2, &status)
      }
    }
    if code < 0 { return .failed(fail(code)) }
    if let failure = TLSFailure(status: status) {
      let alert = failure == .unknownAuthority ? GNUTLS_A_UNKNOWN_CA : GNUTLS_A_BAD_CERTIFICATE
      return .failed(give(up: failure, alert))
    }
    return established()
  }
  private mutating func established() -> TLSProgress {
    (isEstablished, wantsWrite) = (true, false)
    return .done
  }

  /// The certificate of the other side, when it showed one.
  public var peerCertificate: TLSCertificate? {
    var count: UInt32 = 0
    // Sound: the list is the session's; the first one's bytes are copied out at once.
    guard let list = unsafe gnutls_certificate_get_peers(handle, &count), count > 0 else { return nil }
    let first = unsafe list.pointee
    return TLSCertificate(der: unsafe Array(UnsafeBufferPointer(start: first.data, count: Int(first.size))))
  }

  // MARK: data

  /// Decrypted bytes that wait in the session: the socket does not tell of them.
  public var pending: Int { unsafe gnutls_record_check_pending(handle) }

  /// Reads once, at most one record's bytes, into `buffer` from `offset` on.
  public mutating func receive(into buffer: inout [UInt8], from offset: Int = 0) -> TLSTransfer {
    precondition(isEstablished && offset < buffer.count)
    if let failure { return .failed(failure) }
    for _ in 0..<16 {
      // Sound: at most the room behind `offset` is written, and the array is alive.
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe gnutls_record_recv(handle, bytes.baseAddress.map { unsafe $0 + offset }, bytes.count - offset)
      }
      if count > 0 { return .done(count) }
      if count == 0 { return .closed }
      let code = Int32(count)
      if code == GNUTLS_E_AGAIN {
        _ = blocked()
        return .wouldBlock
      }
      if code == GNUTLS_E_REHANDSHAKE { return .failed(give(up: .renegotiation, GNUTLS_A_NO_RENEGOTIATION)) }
      if code == GNUTLS_E_INTERRUPTED || gnutls_error_is_fatal(code) == 0 { continue }
      return .failed(fail(code))
    }
    return .failed(give(up: .other("nothing but warnings came")))
  }

  /// Writes once from `offset` on, at most one record. After `.wouldBlock` the same bytes, or more, have to be given.
  public mutating func send(_ bytes: [UInt8], from offset: Int = 0, upTo end: Int? = nil) -> TLSTransfer {
    let end = end ?? bytes.count
    precondition(isEstablished && offset < end && end <= bytes.count)
    if let failure { return .failed(failure) }
    while true {
      // Sound: the pointer stays within the array for the bytes given. What is encrypted already is only written on:
      // GnuTLS asks for no bytes then, and tells how many it took at first.
      let count = unsafe bytes.withUnsafeBytes { raw in
        isSending
          ? unsafe gnutls_record_send(handle, nil, 0)
          : unsafe gnutls_record_send(handle, raw.baseAddress.map { unsafe $0 + offset }, end - offset)
      }
      if count >= 0 {
        isSending = false
        return .done(count)
      }
      let code = Int32(count)
      if code == GNUTLS_E_INTERRUPTED {
        isSending = true
        continue
      }
      guard code == GNUTLS_E_AGAIN else { return .failed(fail(code)) }
      isSending = true
      return .wouldBlock
    }
  }

  /// Tells the other side that nothing more comes, if that can be done at once and nothing is half sent.
  public mutating func sayGoodbye() {
    guard isEstablished, !isSending, failure == nil else { return }
    _ = unsafe gnutls_bye(handle, GNUTLS_SHUT_WR)
  }

  // MARK: the end

  private mutating func blocked() -> TLSProgress {
    wantsWrite = unsafe gnutls_record_get_direction(handle) == 1
    return .wouldBlock
  }
  /// The session can't go on: the other side is told, once, if that can be done at once.
  private mutating func fail(_ code: Int32) -> TLSFailure {
    let found = TLSFailure(code: code, alert: alertName)
    failure = found
    if found != .cutOff, code != GNUTLS_E_FATAL_ALERT_RECEIVED {
      _ = unsafe gnutls_alert_send_appropriate(handle, code)
    }
    return found
  }
  private mutating func give(up reason: TLSFailure, _ alert: gnutls_alert_description_t? = nil) -> TLSFailure {
    failure = reason
    if let alert { _ = unsafe gnutls_alert_send(handle, GNUTLS_AL_FATAL, alert) }
    return reason
  }
  private var alertName: String {
    // Sound: a constant text of the library.
    unsafe gnutls_alert_get_name(gnutls_alert_get(handle)).map { unsafe String(cString: $0) } ?? "an unknown alert"
  }
}

/// Lends a copy of `bytes`, at least one, for one call.
private func withMutableCopy(of bytes: [UInt8], _ body: (UnsafeMutablePointer<UInt8>?) -> Void) {
  var copy = bytes
  unsafe copy.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress) }
}
