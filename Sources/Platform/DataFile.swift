// A file of bytes that is written at offsets and made durable on request, and the folder that holds such files.
internal import CLinux
internal import Glibc

/// Owns an open file. Several threads may use it: every call names its offset.
public final class DataFile: Sendable {
  private let file: Descriptor
  private init(_ file: consuming Descriptor) { self.file = file }

  /// Creates the file or empties it, for reading and writing.
  public static func create(_ path: String, mode: UInt32 = 0o600) throws(SystemError) -> DataFile {
    let raw = unsafe open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard raw >= 0 else { throw .last("create \(path)") }
    return DataFile(Descriptor(owning: raw))
  }
  /// Opens a file that is there, for reading.
  public static func reading(_ path: String) throws(SystemError) -> DataFile {
    let raw = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard raw >= 0 else { throw .last("open \(path)") }
    return DataFile(Descriptor(owning: raw))
  }

  /// Up to `count` bytes; fewer at the end of the file.
  public func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      // Sound: the pointer stays within the array for the bytes given.
      let got = unsafe bytes.withUnsafeMutableBytes { raw in
        unsafe pread(file.raw, raw.baseAddress.map { unsafe $0 + done }, count - done, off_t(offset + done))
      }
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .last("read") }
      if got == 0 { break }
      done += got
    }
    if done < count { bytes.removeLast(count - done) }
    return bytes
  }
  /// All of `bytes`; on an error the file may hold a part of them.
  public func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      // Sound: the pointer stays within the array for the bytes given.
      let put = unsafe bytes.withUnsafeBytes { raw in
        unsafe pwrite(file.raw, raw.baseAddress.map { unsafe $0 + done }, raw.count - done, off_t(offset + done))
      }
      if put < 0 && errno == EINTR { continue }
      guard put > 0 else { throw put == 0 ? SystemError(call: "write", code: ENOSPC) : .last("write") }
      done += put
    }
  }
  /// Cuts the file to `count` bytes.
  public func truncate(to count: Int) throws(SystemError) {
    guard ftruncate(file.raw, off_t(count)) == 0 else { throw .last("truncate") }
  }
  /// Returns when everything written is on disk.
  public func sync() throws(SystemError) {
    while fdatasync(file.raw) != 0 { if errno != EINTR { throw .last("fdatasync") } }
  }
}

/// Gives a file another name, in place of one that has it.
public func renameFile(_ path: String, to other: String) throws(SystemError) {
  guard unsafe rename(path, other) == 0 else { throw .last("rename \(path)") }
}

/// Makes a folder; one that is there is left as it is.
public func makeFolder(_ path: String, mode: UInt32) throws(SystemError) {
  guard unsafe mkdir(path, mode) == 0 || errno == EEXIST else { throw .last("make folder \(path)") }
}

/// Returns when the names in a folder are on disk.
public func syncFolder(_ path: String) throws(SystemError) {
  let raw = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard raw >= 0 else { throw .last("open \(path)") }
  let folder = Descriptor(owning: raw)
  guard fsync(folder.raw) == 0 else { throw .last("fsync \(path)") }
}

extension DataFile {
  /// Cuts a file that is not open, durably.
  public static func cut(_ path: String, to count: Int) throws(SystemError) {
    let file = try updating(path)
    try file.truncate(to: count)
    try file.sync()
  }
}

extension DataFile {
  /// Opens a file that is there, for reading and writing.
  public static func updating(_ path: String) throws(SystemError) -> DataFile {
    let raw = unsafe open(path, O_RDWR | O_CLOEXEC)
    guard raw >= 0 else { throw .last("open \(path)") }
    return DataFile(Descriptor(owning: raw))
  }
}
