// Files read in place: /proc and /sys again and again through one descriptor, log files from where one stopped.
internal import Glibc

/// Bytes that many reads share: it grows to what the largest file needs and then stays.
public struct ReadBuffer: Sendable {
  public private(set) var bytes: [UInt8]
  /// Of `bytes`, what the last read filled.
  public private(set) var count = 0
  public init(capacity: Int = 16 << 10) { bytes = Array(repeating: 0, count: max(capacity, 4096)) }

  /// Reads a file from its beginning to its end, at most `limit` bytes of it; false when it can't be read.
  public mutating func fill(from descriptor: Int32, limit: Int = 1 << 20) -> Bool {
    count = 0
    while true {
      if count == bytes.count {
        if bytes.count >= limit { return true }
        bytes += Array(repeating: 0, count: bytes.count)
      }
      let got = read(descriptor, at: count)
      if got < 0 { return false }
      if got == 0 { return true }
      count += got
    }
  }
  /// Reads once, as many bytes from `offset` on as there is room for: how many, 0 at the end, or -1 with errno.
  public mutating func fillOnce(from descriptor: Int32, offset: Int64) -> Int {
    count = 0
    let got = readAt(descriptor, offset, from: 0)
    count = max(0, got)
    return got
  }
  private mutating func read(_ descriptor: Int32, at filled: Int) -> Int {
    readAt(descriptor, Int64(filled), from: filled)
  }
  private mutating func readAt(_ descriptor: Int32, _ offset: Int64, from filled: Int) -> Int {
    let room = bytes.count - filled
    while true {
      // Sound: at most the room behind `filled` is written, and the array is alive.
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe pread(descriptor, $0.baseAddress.map { unsafe $0 + filled }, room, off_t(offset))
      }
      if got >= 0 || errno != EINTR { return got }
    }
  }
}

/// Opens a file for reading; never waits, also not for the writer of a pipe.
public func openFile(_ path: String) throws(SystemError) -> Descriptor {
  let raw = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
  guard raw >= 0 else { throw .last("open \(path)") }
  return Descriptor(owning: raw)
}

/// At most `count` bytes of an open file from `offset` on; fewer at its end, none where it can't be read.
public func readBytes(_ descriptor: Int32, at offset: Int64, count: Int) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  // Sound: at most `count` bytes are written.
  let got = unsafe pread(descriptor, &bytes, count, off_t(offset))
  bytes.removeLast(count - max(0, got))
  return bytes
}

/// Which file it is, whatever its name, and how long.
public struct FileIdentity: Equatable, Sendable {
  public var device: UInt64
  public var inode: UInt64
  public var size: Int64
  /// When it was changed last, ns since 1970.
  public var modified: Int64
  /// A plain file; no folder, device, pipe or socket.
  public var isRegular: Bool
}

public func fileIdentity(_ descriptor: Int32) -> FileIdentity? {
  var raw = stat()
  return unsafe fstat(descriptor, &raw) == 0 ? identity(raw) : nil
}
/// Follows symbolic links.
public func fileIdentity(_ path: String) -> FileIdentity? {
  var raw = stat()
  return unsafe stat(path, &raw) == 0 ? identity(raw) : nil
}
private func identity(_ raw: stat) -> FileIdentity {
  FileIdentity(
    device: UInt64(raw.st_dev), inode: UInt64(raw.st_ino), size: Int64(raw.st_size),
    modified: Int64(raw.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(raw.st_mtim.tv_nsec),
    isRegular: raw.st_mode & S_IFMT == S_IFREG)
}

/// The first offset from `offset` on that holds data and not a hole; nil when only a hole is left, or the file system
/// does not know.
public func nextData(_ descriptor: Int32, from offset: Int64) -> Int64? {
  let seekData: Int32 = 3  // SEEK_DATA, a GNU extension
  let found = lseek(descriptor, off_t(offset), seekData)
  return found >= 0 ? Int64(found) : nil
}

/// Space and inodes of a mounted file system.
public struct FileSystemSpace: Equatable, Sendable {
  public var totalBytes: UInt64
  /// Reserved blocks included.
  public var freeBytes: UInt64
  /// What others than root may still write.
  public var availableBytes: UInt64
  public var inodes: UInt64
  public var freeInodes: UInt64
  public init(totalBytes: UInt64, freeBytes: UInt64, availableBytes: UInt64, inodes: UInt64, freeInodes: UInt64) {
    (self.totalBytes, self.freeBytes, self.availableBytes) = (totalBytes, freeBytes, availableBytes)
    (self.inodes, self.freeInodes) = (inodes, freeInodes)
  }
}

/// Asks a file system; waits for as long as a server that is gone makes it wait.
public func fileSystemSpace(_ path: String) throws(SystemError) -> FileSystemSpace {
  var raw = statvfs()
  guard unsafe statvfs(path, &raw) == 0 else { throw .last("statvfs \(path)") }
  let unit = UInt64(raw.f_frsize > 0 ? raw.f_frsize : raw.f_bsize)
  func bytes(_ blocks: fsblkcnt_t) -> UInt64 {
    let (product, overflow) = UInt64(blocks).multipliedReportingOverflow(by: unit)
    return overflow ? .max : product
  }
  return FileSystemSpace(
    totalBytes: bytes(raw.f_blocks), freeBytes: bytes(raw.f_bfree), availableBytes: bytes(raw.f_bavail),
    inodes: UInt64(raw.f_files), freeInodes: UInt64(raw.f_ffree))
}

/// Calls `body` with each name in a folder that is a decimal number: the processes of /proc, without a text for each.
/// False when the folder can't be read.
public func forEachNumber(inFolder path: String, _ body: (Int32) -> Void) -> Bool {
  guard let folder = unsafe opendir(path) else { return false }
  defer { unsafe closedir(folder) }
  // Sound: the entry is read before the next readdir, and its name ends in a NUL within the 256 bytes.
  while let entry = unsafe readdir(folder) {
    let number = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { name -> Int32? in
      var value: Int32 = 0
      var index = 0
      while index < 10, case let digit = unsafe name[index], digit != 0 {
        guard digit >= 48, digit <= 57 else { return nil }
        let (tens, over) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflow) = tens.addingReportingOverflow(Int32(digit) - 48)
        if over || overflow { return nil }
        value = sum
        index += 1
      }
      return index > 0 && index < 10 ? value : nil
    }
    if let number { body(number) }
  }
  return true
}

/// Clock ticks in a second, the unit of times in /proc.
public func clockTicks() -> Int64 { max(1, Int64(sysconf(Int32(_SC_CLK_TCK)))) }
/// Bytes in a page of memory.
public func pageBytes() -> Int64 { max(1, Int64(sysconf(Int32(_SC_PAGESIZE)))) }
/// Seconds that local time is ahead of UTC at a moment, in seconds since 1970.
public func localOffsetSeconds(at seconds: Int64) -> Int {
  var time = time_t(seconds)
  var parts = unsafe tm()
  guard unsafe localtime_r(&time, &parts) != nil else { return 0 }
  return unsafe Int(parts.tm_gmtoff)
}
