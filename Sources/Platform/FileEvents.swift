// Names that come and go in folders: inotify, read only as a hint that there is something to look at.
internal import Glibc

/// Watches folders; whoever watches looks at the files itself, so a lost event costs time, never a line.
public struct FileEvents: ~Copyable {
  private let queue: Descriptor
  private var folders: [Int32: String] = [:]
  private var watches: [String: Int32] = [:]

  /// Readable when something changed.
  public var descriptor: Int32 { queue.raw }

  /// Throws where the system has no inotify instance left.
  public init() throws(SystemError) {
    let raw = inotify_init1(Int32(O_NONBLOCK) | Int32(O_CLOEXEC))
    guard raw >= 0 else { throw .last("inotify_init1") }
    queue = Descriptor(owning: raw)
  }

  /// Watches a folder for files that come or go; false when it can't be watched (gone, or out of watches).
  public mutating func watch(_ folder: String) -> Bool {
    if watches[folder] != nil { return true }
    let wanted = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR
    let watch = unsafe inotify_add_watch(queue.raw, folder, UInt32(wanted))
    guard watch >= 0 else { return false }
    folders[watch] = folder
    watches[folder] = watch
    return true
  }
  /// Ends the watches of all folders but these.
  public mutating func keep(_ wanted: Set<String>) {
    for (folder, watch) in watches where !wanted.contains(folder) {
      _ = inotify_rm_watch(queue.raw, watch)
      watches[folder] = nil
      folders[watch] = nil
    }
  }

  /// Takes all events: whether there were any (or some were lost).
  public mutating func drain() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    var found = false
    while true {
      // Sound: at most the buffer's own size is written.
      let got = unsafe read(queue.raw, &buffer, buffer.count)
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { return found }
      var at = 0
      // struct inotify_event: int wd, uint32 mask, cookie, len, then len bytes of name.
      while at + 16 <= got {
        func number(_ offset: Int) -> UInt32 {
          (0..<4).reduce(0) { $0 | UInt32(buffer[at + offset + $1]) << UInt32(8 * $1) }
        }
        let mask = number(4)
        if mask & UInt32(IN_IGNORED) != 0 {
          let watch = Int32(bitPattern: number(0))
          if let folder = folders[watch] { watches[folder] = nil }
          folders[watch] = nil
        }
        found = true
        at += 16 + Int(number(12))
      }
    }
  }
}
