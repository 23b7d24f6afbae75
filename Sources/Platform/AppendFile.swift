// A file that lines are added to while a program runs.
internal import Glibc

/// Buffers in memory and writes in large pieces; what is buffered is lost unless `flush` is called.
public struct AppendFile: ~Copyable {
  private let file: Descriptor
  private var buffer: [UInt8] = []
  private static let room = 1 << 16

  /// Creates the file or empties it.
  public init(_ path: String, mode: UInt32 = 0o644) throws(SystemError) {
    let raw = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard raw >= 0 else { throw .last("open \(path)") }
    file = Descriptor(owning: raw)
  }

  /// Adds the text and a newline.
  public mutating func add(line: String) throws(SystemError) {
    buffer.append(contentsOf: line.utf8)
    buffer.append(0x0a)
    if buffer.count >= Self.room { try flush() }
  }

  public mutating func flush() throws(SystemError) {
    var offset = 0
    while offset < buffer.count {
      // Sound: the pointer stays within the array for the bytes given.
      let count = unsafe buffer.withUnsafeBytes { raw in
        unsafe write(file.raw, raw.baseAddress.map { unsafe $0 + offset }, raw.count - offset)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .last("write") }
      offset += count
    }
    buffer.removeAll(keepingCapacity: true)
  }
}
