// Certificates of two private authorities, made by openssl as the README says.
import Glibc
import Platform
import TLS

@testable import Node

final class Certificates: Sendable {
  static let shared: Result<Certificates, any Error> = Result { try Certificates() }
  let folder: String

  init() throws {
    folder = "/tmp/standwatch-certificates-\(processIdentifier())-\(UInt64.random(in: 0...UInt64.max))"
    let script = """
      set -eu
      mkdir -p "$1"; cd "$1"
      authority() {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$1" -keyout $1.key -out $1.crt
      }
      issue() { # authority, name, subject alternative names, more
        openssl req -x509 -CA $1.crt -CAkey $1.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825 \
          -subj "/CN=$2" -addext "subjectAltName=$3" -addext basicConstraints=critical,CA:FALSE -keyout $2.key -out $2.crt
      }
      authority ca; authority other
      issue ca node IP:127.0.0.1,DNS:standwatch
      issue ca renewed IP:127.0.0.1
      issue ca agent DNS:mes-07
      issue other stranger IP:127.0.0.1
      openssl req -new -key node.key -subj /CN=old -addext subjectAltName=IP:127.0.0.1 -out old.csr
      openssl x509 -req -in old.csr -CA ca.crt -CAkey ca.key -days -1 -out old.crt
      cp node.key old.key
      """
    let result = try runCommand("/bin/sh", ["-c", script, "sh", folder], deadline: .after(milliseconds: longest))
    guard result.succeeded else { throw TestTimeout(what: "certificates: \(result.output)") }
    let folder = folder
    atExit.withLock { $0.append(folder) }
  }

  func files(_ name: String?, trusting authority: String? = nil) -> TLSFiles {
    TLSFiles(
      certificate: name.map { "\(folder)/\($0).crt" }, key: name.map { "\(folder)/\($0).key" },
      authorities: authority.map { "\(folder)/\($0).crt" })
  }
  func credentials(_ name: String?, trusting authority: String? = nil) throws -> TLSCredentials {
    try TLSCredentials(files(name, trusting: authority))
  }
  /// What a node with these files listens with.
  func listening(_ name: String = "node", trusting authority: String? = nil) throws -> NodeConfiguration.TLS {
    NodeConfiguration.TLS(
      files: files(name, trusting: authority), credentials: try credentials(name, trusting: authority))
  }
}

/// Folders that are removed when the process of the tests ends.
private let atExit: Guarded<[String]> = {
  atexit { removeFolders() }
  return Guarded([])
}()
private func removeFolders() {
  for folder in atExit.withLock({ $0 }) {
    // At worst a small folder stays in /tmp.
    _ = try? runCommand("/bin/rm", ["-rf", folder], deadline: .after(milliseconds: 5000))
  }
}

/// Both ends of a connected pair of stream sockets.
struct SocketPair: ~Copyable {
  let a: Descriptor
  let b: Descriptor
  init() throws {
    var ends: [Int32] = [0, 0]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SystemError.last("socketpair") }
    a = Descriptor(owning: ends[0])
    b = Descriptor(owning: ends[1])
  }
}
