// The error of a failed system call: which call, which errno.
internal import Glibc

/// A system call failed. `code` is the errno it left.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  public var call: String
  public var code: Int32
  public init(call: String, code: Int32) {
    self.call = call
    self.code = code
  }
  /// Captures the calling thread's `errno`.
  public static func last(_ call: String) -> SystemError { SystemError(call: call, code: errno) }
  /// What was written comes back different.
  public static let damagedDisk = SystemError(call: "read back", code: EIO)
  /// The process or the machine has no descriptor left.
  public var meansNoDescriptors: Bool { code == EMFILE || code == ENFILE }
  /// Nothing has that name.
  public var meansAbsent: Bool { code == ENOENT || code == ENOTDIR }
  /// This user may not.
  public var meansForbidden: Bool { code == EACCES || code == EPERM }
  /// It may be different at the next try, without anybody doing something.
  public var isTemporary: Bool { meansNoDescriptors || [ENOSPC, EIO, ENOMEM, EDQUOT, EAGAIN].contains(code) }
  public var description: String { "\(call): \(errorText(code))" }
}

/// The C library's sentence for an errno.
public func errorText(_ code: Int32) -> String {
  // Sound: strerror's text is read at once; glibc's is thread-local since 2.32.
  guard let text = unsafe strerror(code) else { return "error \(code)" }
  return unsafe String(cString: text)
}
