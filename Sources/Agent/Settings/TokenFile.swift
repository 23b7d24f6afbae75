// The file with the agent's token: read again at each hello, so that a new token needs no restart.
internal import Platform

/// Why there is no token; the problem names the file.
struct TokenFileFlaw: Error, Equatable {
  var problem: String
  var mend: String
}

/// The token, without the line end.
func readTokenFile(_ path: String) throws(TokenFileFlaw) -> String {
  let make = "Put what hactl token add printed into \(path), then: chgrp standwatch-agent \(path) && chmod 640 \(path)"
  var bytes: [UInt8]
  do throws(SystemError) {
    if try fileStatus(path).isReadableByOthers {
      throw SystemError(call: "can be read by others", code: 0)
    }
    bytes = try readFile(path, limit: 4096)
  } catch {
    if error.code == 0 { throw TokenFileFlaw(problem: "\(path) can be read by others", mend: "chmod 640 \(path)") }
    throw TokenFileFlaw(problem: "\(path) cannot be read: \(errorText(error.code))", mend: make)
  }
  while let last = bytes.last, last == 0x0a || last == 0x0d || last == 0x20 { bytes.removeLast() }
  guard (1...200).contains(bytes.count), bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
    throw TokenFileFlaw(problem: "\(path) holds no token", mend: make)
  }
  return String(decoding: bytes, as: UTF8.self)
}
