// A child process whose standard output is read bit by bit, for as long as it lives.
internal import CLinux
internal import Glibc

/// Owns the process: dropping it kills the process with its group.
public struct ChildOutput: ~Copyable {
  private var child: Child
  private let reader: Descriptor

  public var pid: Int32 { child.pid }
  /// Readable when there is output, or no more of it.
  public var descriptor: Int32 { reader.raw }

  /// Starts a program with nothing on its standard input; what it says on standard error is dropped. The child gets
  /// SIGKILL when the calling thread ends, so that thread has to live as long as the process.
  public init(_ path: String, _ arguments: [String]) throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    guard unsafe sw_pipe(&ends) == 0 else { throw .last("pipe") }
    let reading = Descriptor(owning: ends[0])
    let writer = Descriptor(owning: ends[1])
    let null = try nullDevice()
    child = try Child(
      path, arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"],
      descriptors: [null.raw, writer.raw, null.raw], parentDeathSignal: SIGKILL)
    reader = reading
  }

  public enum Piece: Equatable, Sendable { case nothing, bytes(Int), end }

  /// Appends what is there, at most `limit` bytes, without waiting.
  public func read(into bytes: inout [UInt8], limit: Int) -> Piece {
    if wait(reader.raw, for: .read, until: BootInstant(nanoseconds: 0)).isEmpty { return .nothing }
    var chunk = [UInt8](repeating: 0, count: limit)
    // Sound: at most `limit` bytes are written.
    let got = unsafe Glibc.read(reader.raw, &chunk, limit)
    if got < 0 && (errno == EINTR || errno == EAGAIN) { return .nothing }
    guard got > 0 else { return .end }
    bytes += chunk[..<got]
    return .bytes(got)
  }

  /// Kills what may be left of it; the exit status.
  public mutating func end() -> Int32 {
    child.killGroup()
    return child.reap()
  }
}
