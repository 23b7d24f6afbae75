// A file of /proc or /sys that is read again and again through one descriptor.
internal import Platform

/// Opened when it is first read; opened anew when a read fails (a device that went and came). Owned by one thread.
struct ProcFile: ~Copyable {
  private let path: String
  private var descriptor: Descriptor?
  /// Readings to pass over before a file that could not be opened is looked for again.
  private var pause = 0

  init(_ path: String) { self.path = path }

  /// Fills the buffer with the whole file; false where the system has no such file.
  mutating func read(into buffer: inout ReadBuffer) -> Bool {
    if pause > 0 {
      pause -= 1
      return false
    }
    // Twice: the first failure may only mean that the descriptor has grown old.
    for _ in 0..<2 {
      if descriptor == nil {
        // Not there: an answer, not an error.
        guard let opened = try? openFile(path) else {
          pause = 60
          return false
        }
        descriptor = consume opened
      }
      if let raw = descriptor?.raw, buffer.fill(from: raw) { return true }
      descriptor = nil
    }
    return false
  }
}
