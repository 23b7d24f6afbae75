// Certificates, keys and certificate authorities, read from PEM files; what is wrong with a file is told by its path.
internal import CGnuTLS
public import Platform

/// Paths of PEM files. Which of them are needed is the role's matter.
public struct TLSFiles: Equatable, Sendable {
  /// Own certificate, followed by those that lead to the authority, if there are any between.
  public var certificate: String?
  /// Its private key, not encrypted.
  public var key: String?
  /// The authorities that the other side's certificate has to come from.
  public var authorities: String?
  public init(certificate: String? = nil, key: String? = nil, authorities: String? = nil) {
    (self.certificate, self.key, self.authorities) = (certificate, key, authorities)
  }
  var paths: [String] { [certificate, key, authorities].compactMap { $0 } }
}

/// What is wrong with a file.
public struct TLSFileError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Part: String, Equatable, Sendable { case certificate, key, authorities }
  public var part: Part
  public var path: String
  /// Continues a sentence that begins with the path.
  public var problem: String
  public var description: String { "\(path) \(problem)" }
}

/// Files as GnuTLS keeps them: read once, never changed, shared by sessions (which keep it alive).
@safe public final class TLSCredentials: Sendable {
  // Sound: filled before anybody else sees it, and only read since; GnuTLS allows that from several threads.
  nonisolated(unsafe) let handle: gnutls_certificate_credentials_t
  /// Whether the other side has to show a certificate.
  public let hasAuthorities: Bool
  /// The own certificate; nil when there is none.
  public let certificate: TLSCertificate?

  /// Reads the files; at least one of them has to be named.
  public init(_ files: TLSFiles) throws(TLSFileError) {
    var made: gnutls_certificate_credentials_t?
    let code = unsafe gnutls_certificate_allocate_credentials(&made)
    guard code == 0, let made = unsafe made else { preconditionFailure("no memory for credentials: \(code)") }
    do throws(TLSFileError) {
      certificate = try unsafe TLSCredentials.takeIdentity(files, made)
      try unsafe TLSCredentials.takeAuthorities(files, made)
    } catch {
      unsafe gnutls_certificate_free_credentials(made)
      throw error
    }
    hasAuthorities = files.authorities != nil
    // A peer's chain: no longer, and with no larger keys, than is honest.
    unsafe gnutls_certificate_set_verify_limits(made, 8192, 8)
    unsafe handle = made
  }
  deinit { unsafe gnutls_certificate_free_credentials(handle) }

  private static func takeIdentity(
    _ files: TLSFiles, _ handle: gnutls_certificate_credentials_t
  ) throws(TLSFileError) -> TLSCertificate? {
    guard let path = files.certificate, let keyPath = files.key else { return nil }
    let text = try read(path, .certificate)
    guard let certificate = TLSCertificate(pem: text) else {
      throw TLSFileError(part: .certificate, path: path, problem: "holds no certificate in PEM form")
    }
    let key = try read(keyPath, .key)
    guard isKey(key) else {
      throw TLSFileError(part: .key, path: keyPath, problem: "holds no private key in PEM form without a password")
    }
    let code = unsafe withDatum(text) { certificate in
      unsafe withDatum(key) {
        unsafe gnutls_certificate_set_x509_key_mem(handle, &certificate, &$0, GNUTLS_X509_FMT_PEM)
      }
    }
    if code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH {
      throw TLSFileError(part: .key, path: keyPath, problem: "is not the key of the certificate in \(path)")
    }
    guard code >= 0 else {
      throw TLSFileError(part: .certificate, path: path, problem: "can't be used: \(errorText(ofGnuTLS: code))")
    }
    return certificate
  }
  private static func takeAuthorities(
    _ files: TLSFiles, _ handle: gnutls_certificate_credentials_t
  ) throws(TLSFileError) {
    guard let path = files.authorities else { return }
    let text = try read(path, .authorities)
    let count = unsafe withDatum(text) {
      unsafe gnutls_certificate_set_x509_trust_mem(handle, &$0, GNUTLS_X509_FMT_PEM)
    }
    guard count > 0 else {
      throw TLSFileError(part: .authorities, path: path, problem: "holds no certificate in PEM form")
    }
  }
  private static func read(_ path: String, _ part: TLSFileError.Part) throws(TLSFileError) -> [UInt8] {
    do {
      return try readFile(path)
    } catch {
      throw TLSFileError(part: part, path: path, problem: "cannot be read: \(errorText(error.code))")
    }
  }
  private static func isKey(_ text: [UInt8]) -> Bool {
    var key: gnutls_x509_privkey_t?
    guard unsafe gnutls_x509_privkey_init(&key) == 0, let key = unsafe key else { return false }
    defer { unsafe gnutls_x509_privkey_deinit(key) }
    let code = unsafe withDatum(text) { unsafe gnutls_x509_privkey_import(key, &$0, GNUTLS_X509_FMT_PEM) }
    return code == 0
  }
}

/// Lends bytes to GnuTLS for one call.
func withDatum<R>(_ bytes: [UInt8], _ body: (inout gnutls_datum_t) -> R) -> R {
  var copy = bytes
  // Sound: GnuTLS reads `size` bytes during the call and keeps nothing of them.
  return unsafe copy.withUnsafeMutableBufferPointer { buffer in
    var datum = unsafe gnutls_datum_t(data: buffer.baseAddress, size: UInt32(buffer.count))
    return unsafe body(&datum)
  }
}

/// GnuTLS's own text of an error.
func errorText(ofGnuTLS code: Int32) -> String {
  // Sound: a constant text of the library.
  unsafe gnutls_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
}

/// Credentials that follow their files: a renewed certificate is used for the next session, without a restart.
public struct RenewedCredentials: Sendable {
  public let files: TLSFiles
  private var credentials: TLSCredentials?
  private var seen: [FileIdentity?] = []
  private var nextLook = BootInstant(nanoseconds: 0)
  /// Why the files as they are now can't be used; what was read before goes on being used.
  public private(set) var trouble: TLSFileError?

  /// `credentials`: the files' as they were read already; without it they are read when they are needed first.
  public init(_ files: TLSFiles, credentials: TLSCredentials? = nil) {
    (self.files, self.credentials) = (files, credentials)
    if credentials != nil { seen = files.paths.map { fileIdentity($0) } }
  }

  /// Looks at the files at most once a second, and reads them when one was changed: renewal writes them one after the
  /// other, and until they fit each other the old ones stay in use. Throws when there has never been a usable set.
  public mutating func current(_ now: BootInstant) throws(TLSFileError) -> TLSCredentials {
    if now >= nextLook {
      nextLook = now.adding(milliseconds: 1000)
      let found = files.paths.map { fileIdentity($0) }
      if found != seen || credentials == nil || trouble != nil {
        do throws(TLSFileError) {
          credentials = try TLSCredentials(files)
          trouble = nil
        } catch {
          trouble = error
        }
        seen = found
      }
    }
    if let credentials { return credentials }
    throw trouble ?? TLSFileError(part: .certificate, path: files.paths.first ?? "", problem: "was not read")
  }
}
