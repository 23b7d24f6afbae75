// Why a TLS session could not be, or ended: one sentence for people, and a kind that counters can use.
internal import CGnuTLS

public enum TLSFailure: Error, Equatable, Sendable {
  /// What came is no TLS, or of a version that is not taken.
  case notTLS
  /// The other side showed no certificate, and has to.
  case noCertificate
  /// Its certificate comes from none of the authorities.
  case unknownAuthority
  case expired
  case notYetValid
  /// It is not for the name that was asked for.
  case wrongName
  /// It is not for this side of a session.
  case wrongPurpose
  case weakCertificate
  /// The other side ended the session with this alert.
  case refused(alert: String)
  /// The connection ended without the session's end: what came before may be less than what was sent.
  case cutOff
  /// The other side wanted to negotiate anew, which is not done.
  case renegotiation
  case other(String)

  /// `who` is the other side, as it is told to people.
  public func sentence(about who: String) -> String {
    switch self {
    case .notTLS: "\(who) does not speak TLS here, or only a version before 1.2"
    case .noCertificate: "\(who) showed no certificate"
    case .unknownAuthority: "the certificate of \(who) comes from none of the authorities that are trusted"
    case .expired: "the certificate of \(who) has expired"
    case .notYetValid: "the certificate of \(who) is not valid yet"
    case .wrongName: "the certificate of \(who) is for another name"
    case .wrongPurpose: "the certificate of \(who) is not for this purpose"
    case .weakCertificate: "the certificate of \(who) uses an algorithm that is too weak"
    case .refused(let alert): "\(who) refused the session: \(alert)"
    case .cutOff: "\(who) cut the connection off"
    case .renegotiation: "\(who) wanted to negotiate anew"
    case .other(let text): text
    }
  }

  /// `alert`: the name of the last one that came.
  init(code: Int32, alert: @autoclosure () -> String) {
    switch code {
    case GNUTLS_E_PREMATURE_TERMINATION, GNUTLS_E_PUSH_ERROR, GNUTLS_E_PULL_ERROR, GNUTLS_E_SESSION_EOF: self = .cutOff
    case GNUTLS_E_UNEXPECTED_PACKET_LENGTH, GNUTLS_E_UNEXPECTED_PACKET, GNUTLS_E_UNSUPPORTED_VERSION_PACKET,
      GNUTLS_E_RECORD_OVERFLOW:
      self = .notTLS
    case GNUTLS_E_NO_CERTIFICATE_FOUND, GNUTLS_E_CERTIFICATE_REQUIRED: self = .noCertificate
    case GNUTLS_E_FATAL_ALERT_RECEIVED, GNUTLS_E_WARNING_ALERT_RECEIVED: self = .refused(alert: alert())
    case GNUTLS_E_REHANDSHAKE: self = .renegotiation
    default: self = .other(errorText(ofGnuTLS: code))
    }
  }

  /// Of the flags of a verified certificate; nil when all is well.
  init?(status: UInt32) {
    func has(_ flag: gnutls_certificate_status_t) -> Bool { status & UInt32(flag.rawValue) != 0 }
    if status == 0 { return nil }
    if has(GNUTLS_CERT_SIGNER_NOT_FOUND) || has(GNUTLS_CERT_SIGNER_NOT_CA) || has(GNUTLS_CERT_SIGNATURE_FAILURE) {
      self = .unknownAuthority
    } else if has(GNUTLS_CERT_EXPIRED) {
      self = .expired
    } else if has(GNUTLS_CERT_NOT_ACTIVATED) {
      self = .notYetValid
    } else if has(GNUTLS_CERT_UNEXPECTED_OWNER) {
      self = .wrongName
    } else if has(GNUTLS_CERT_PURPOSE_MISMATCH) {
      self = .wrongPurpose
    } else if has(GNUTLS_CERT_INSECURE_ALGORITHM) {
      self = .weakCertificate
    } else {
      self = .other("the certificate of the other side is not valid (status \(status))")
    }
  }
}
