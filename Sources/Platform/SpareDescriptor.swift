// A descriptor held in reserve for the moment when a process has no other left.
internal import Glibc

/// A copy of `other` that does nothing but take a place, which can be freed to accept a connection and close it.
public func spareDescriptor(like other: Int32) -> Descriptor? {
  let raw = fcntl(other, F_DUPFD_CLOEXEC, 0)
  return raw >= 0 ? Descriptor(owning: raw) : nil
}

extension SystemError {
  /// The process, or the machine, has no descriptor left.
  public var isOutOfDescriptors: Bool { code == EMFILE || code == ENFILE }
}
