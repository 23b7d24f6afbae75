// What an X.509 certificate says of itself, as far as people are told.
internal import CGnuTLS

/// The first certificate of a file, or the one that the other side showed.
public struct TLSCertificate: Equatable, Sendable {
  /// Empty when there is none.
  public var commonName: String
  /// Subject alternative names that are DNS names, as they stand, at most 16.
  public var dnsNames: [String]
  /// Seconds since 1970.
  public var validFrom: Int64
  public var validUntil: Int64

  /// Nil when `pem` does not begin with a certificate that can be read.
  init?(pem: [UInt8]) { self.init(pem, GNUTLS_X509_FMT_PEM) }
  init?(der: [UInt8]) { self.init(der, GNUTLS_X509_FMT_DER) }

  private init?(_ bytes: [UInt8], _ form: gnutls_x509_crt_fmt_t) {
    var made: gnutls_x509_crt_t?
    guard unsafe gnutls_x509_crt_init(&made) == 0, let made = unsafe made else { return nil }
    defer { unsafe gnutls_x509_crt_deinit(made) }
    guard unsafe withDatum(bytes, { unsafe gnutls_x509_crt_import(made, &$0, form) }) == 0 else { return nil }
    validFrom = Int64(unsafe gnutls_x509_crt_get_activation_time(made))
    validUntil = Int64(unsafe gnutls_x509_crt_get_expiration_time(made))
    commonName =
      unsafe TLSCertificate.text { buffer, size in
        unsafe gnutls_x509_crt_get_dn_by_oid(made, "2.5.4.3", 0, 0, buffer, size) == 0
      } ?? ""
    dnsNames = []
    for index in 0..<UInt32(16) {
      let name = unsafe TLSCertificate.text { buffer, size in
        unsafe gnutls_x509_crt_get_subject_alt_name(made, index, buffer, size, nil) == GNUTLS_SAN_DNSNAME.rawValue
      }
      if let name { dnsNames.append(name) }
    }
  }

  /// A text of at most 255 bytes, control characters replaced: it goes to the log.
  private static func text(_ fill: (UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<Int>) -> Bool) -> String? {
    var buffer = [UInt8](repeating: 0, count: 256)
    var size = buffer.count
    // Sound: GnuTLS writes at most `size` bytes and sets it to what it wrote; a longer text is an error.
    let done = unsafe buffer.withUnsafeMutableBufferPointer { bytes -> Bool in
      guard let start = bytes.baseAddress else { return false }
      return unsafe fill(start, &size)
    }
    guard done, size <= buffer.count else { return nil }
    let plain = buffer[..<size].prefix { $0 != 0 }.map { $0 < 0x20 || $0 == 0x7f ? UInt8(ascii: "?") : $0 }
    return String(decoding: plain, as: UTF8.self)
  }

  /// The name that is told: the common name, else the first DNS name.
  public var name: String { commonName.isEmpty ? dnsNames.first ?? "" : commonName }
}
