// What a tool for people asks of the system: is that a terminal, end with this status, send that signal.
internal import Glibc

/// Whether a person looks at this descriptor.
public func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

/// Columns and rows of the terminal behind this descriptor; nil when it is none, or does not say.
public func terminalSize(_ descriptor: Int32) -> (columns: Int, rows: Int)? {
  var size = winsize()
  // The kernel fills the structure that it is given for this request, and nothing else.
  let answer = unsafe withUnsafeMutablePointer(to: &size) { unsafe ioctl(descriptor, UInt(TIOCGWINSZ), $0) }
  guard answer == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
  return (Int(size.ws_col), Int(size.ws_row))
}

/// Ends the process; buffered output is written first.
public func endProcess(status: Int32) -> Never { exit(status) }

/// Writes text to standard output or standard error, past the buffers of `print`. What can't be written is lost: there
/// is nobody to tell.
public func writeText(_ text: String, to descriptor: Int32 = 1) {
  let bytes = Array(text.utf8)
  var offset = 0
  while offset < bytes.count {
    let count = unsafe bytes.withUnsafeBytes {
      unsafe write(descriptor, $0.baseAddress.map { unsafe $0 + offset }, $0.count - offset)
    }
    if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
    guard count > 0 else { return }
    offset += count
  }
}

/// Sends a signal to one process.
public func sendSignal(_ number: Int32, to process: Int32) throws(SystemError) {
  precondition(process > 1, "never to a group, nor to everybody")
  guard kill(process, number) == 0 else { throw .last("kill \(process)") }
}

/// Whether a process is there (even as a zombie, even another user's).
public func processExists(_ process: Int32) -> Bool { kill(process, 0) == 0 || errno == EPERM }

/// Stops delivery of Ctrl-C to this process, which its parent handles.
public func ignoreInterrupts() {
  _ = signal(SIGINT, SIG_IGN)
  _ = signal(SIGHUP, SIG_IGN)
}
