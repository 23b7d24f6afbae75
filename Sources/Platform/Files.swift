// Small files, read and written whole, and their permissions.
internal import CLinux
internal import Glibc

/// Owner, group, mode (permission bits) and size of a file.
public struct FileStatus: Equatable, Sendable {
  public var user: UInt32
  public var group: UInt32
  public var mode: UInt32
  public var size: Int
  public var isReadableByOthers: Bool { mode & 0o007 != 0 }
}

public func fileStatus(_ path: String) throws(SystemError) -> FileStatus {
  var raw = stat()
  guard unsafe stat(path, &raw) == 0 else { throw .last("stat \(path)") }
  return FileStatus(user: raw.st_uid, group: raw.st_gid, mode: raw.st_mode & 0o7777, size: Int(raw.st_size))
}

/// Reads a whole file of at most `limit` bytes; a longer one is an error (`EFBIG`).
public func readFile(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
  let raw = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard raw >= 0 else { throw .last("open \(path)") }
  let file = Descriptor(owning: raw)
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = unsafe read(file.raw, &chunk, chunk.count)
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else { throw .last("read \(path)") }
    if count == 0 { return bytes }
    bytes.append(contentsOf: chunk[..<count])
    guard bytes.count <= limit else { throw SystemError(call: "read \(path)", code: EFBIG) }
  }
}

/// Writes a whole file through a temporary one beside it, so that readers see the old or the new text.
public func replaceFile(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(SystemError) {
  let temporary = path + ".new"
  let raw = openForWriting(temporary, mode)
  guard raw >= 0 else { throw .last("open \(temporary)") }
  let file = Descriptor(owning: raw)
  try writeAll(bytes, to: file, named: temporary)
  guard unsafe rename(temporary, path) == 0 else { throw .last("rename \(path)") }
}
private func openForWriting(_ path: String, _ mode: UInt32) -> Int32 {
  unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
}

/// Takes the one lock of a file without waiting; nil when another process holds it. Held until the descriptor closes.
public func lockFile(_ path: String) throws(SystemError) -> Descriptor? {
  let raw = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
  guard raw >= 0 else { throw .last("open \(path)") }
  let file = Descriptor(owning: raw)
  if flock(file.raw, LOCK_EX | LOCK_NB) == 0 { return file }
  if errno == EWOULDBLOCK { return nil }
  throw .last("flock \(path)")
}

/// Resident memory of this process in KiB.
public func residentKilobytes() -> Int { Int(sw_resident_kilobytes()) }

/// What this process has used of the processors, in microseconds.
public func processorMicroseconds() -> Int64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

/// Fills an array with bytes of the kernel's random source.
public func randomBytes(_ count: Int) -> [UInt8] {
  var generator = SystemRandomNumberGenerator()
  return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}

/// Writes all of `bytes` at the file's place, however many calls that takes.
func writeAll(_ bytes: [UInt8], to file: borrowing Descriptor, named path: String) throws(SystemError) {
  var offset = 0
  while offset < bytes.count {
    // Sound: at most the bytes behind `offset` are read.
    let count = unsafe bytes.withUnsafeBytes {
      unsafe write(file.raw, $0.baseAddress.map { unsafe $0 + offset }, $0.count - offset)
    }
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { throw .last("write \(path)") }
    offset += count
  }
}
