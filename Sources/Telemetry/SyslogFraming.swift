// Where a syslog message begins and ends: in a TCP stream (RFC 6587, both ways, told apart for each message), in UDP.

/// What is kept of a TCP syslog connection between two calls.
public struct SyslogCursor: Equatable, Sendable {
  /// The peer's address: the host of messages that name none.
  public var peer: String
  /// Bytes of an overlong octet-counted message still to be dropped.
  var skip = 0
  /// The rest of an overlong line is to be dropped.
  var isSkippingLine = false
  public init(peer: String) { self.peer = peer }
}

/// Where the decoder stopped.
public enum SyslogStop: Equatable, Sendable {
  /// No whole message is left.
  case incomplete
  /// The batch is full; messages may be left.
  case full
}

enum SyslogFrame: Equatable {
  /// Not certain yet: more bytes are needed.
  case incomplete
  /// Line ends or zero bytes between messages.
  case separators(Int)
  /// Octet-counted: `header` bytes, then `count` bytes of message.
  case counted(header: Int, count: Int)
  /// Up to the next newline.
  case line
}

/// How the message at `start` is framed: octet-counted if it begins with `MSG-LEN SP <`, otherwise by a newline.
///
/// RFC 6587 takes any leading digit for a count; a line that begins with a date must not be mistaken for one.
func syslogFrame(_ bytes: RawSpan, _ start: Int, _ end: Int) -> SyslogFrame {
  var at = start
  while at < end, case let c = byte(bytes, at), c == 0x0a || c == 0x0d || c == 0 { at += 1 }
  if at > start { return .separators(at - start) }
  if at == end { return .incomplete }
  var count = 0
  while at < end, case let digit = byte(bytes, at) &- 48, digit < 10, at - start < 8 {
    if count == 0 && digit == 0 { return .line }
    count = count * 10 + Int(digit)
    at += 1
  }
  let digits = at - start
  if digits == 0 || digits > 7 { return .line }
  if at == end { return .incomplete }
  guard byte(bytes, at) == UInt8(ascii: " ") else { return .line }
  if at + 1 == end { return .incomplete }
  guard byte(bytes, at + 1) == UInt8(ascii: "<") else { return .line }
  return .counted(header: digits + 1, count: count)
}

extension SyslogDecoder {
  /// Bytes of a message that are looked at: what is behind them could change nothing, even of a last character.
  private var mostOfMessage: Int { maxMessage + 4 }

  /// Decodes the whole messages of a TCP connection's buffer into the log table.
  ///
  /// `now` is the wall clock in µs since 2000-01-01 UTC. Nothing is ever refused: what is no syslog at all becomes a
  /// message of its peer, what is too long is cut and marked. The buffer's `maximumCapacity` bounds a message, too.
  public mutating func decode(
    _ buffer: inout LineBuffer, _ cursor: inout SyslogCursor, now: Int64, into batch: inout Batch, rowLimit: Int,
    byteLimit: Int
  ) -> SyslogStop {
    names.quota.begin(cursor.peer)
    while true {
      if batch.rowCount >= rowLimit || batch.byteCount >= byteLimit || batch.isFullOfNames { return .full }
      if cursor.skip > 0 {
        let dropped = min(cursor.skip, buffer.count)
        buffer.consume(to: buffer.start + dropped)
        cursor.skip -= dropped
        if cursor.skip > 0 { return .incomplete }
      }
      if cursor.isSkippingLine {
        let end = buffer.lineEnd()
        buffer.consume(to: end.map { $0 + 1 } ?? buffer.end)
        if end == nil { return .incomplete }
        cursor.isSkippingLine = false
      }
      let (start, end) = (buffer.start, buffer.end)
      switch buffer.withBytes({ syslogFrame($0, start, end) }) {
      case .incomplete: return .incomplete
      case .separators(let count): buffer.consume(to: start + count)
      case .counted(let header, let count):
        let first = start + header
        if end - first < count && end - first <= mostOfMessage && !buffer.isFull { return .incomplete }
        let whole = min(count, end - first)
        let used = first..<first + min(whole, mostOfMessage)
        buffer.withBytes { message($0, used, count, cursor.peer, now, &batch) }
        buffer.consume(to: first + whole)
        cursor.skip = count - whole
      case .line:
        let newline = buffer.lineEnd()
        let count = (newline ?? end) - start
        if newline == nil && count <= mostOfMessage && !buffer.isFull { return .incomplete }
        let used = start..<start + min(count, mostOfMessage)
        // How long it will be is not known yet; where it is known nothing else is said, so that the same bytes are the
        // same message however they came.
        let announced = newline == nil || count > used.count ? used.count + 1 : count
        buffer.withBytes { message($0, used, announced, cursor.peer, now, &batch) }
        buffer.consume(to: newline.map { $0 + 1 } ?? end)
        cursor.isSkippingLine = newline == nil
      }
    }
  }

  /// Decodes one UDP datagram, which is one message. `now` as in `decode`.
  public mutating func decodeDatagram(_ datagram: Span<UInt8>, peer: String, now: Int64, into batch: inout Batch) {
    names.quota.begin(peer)
    // Sound: bytes of UInt8 have no padding.
    unsafe message(datagram.bytes, 0..<datagram.count, datagram.count, peer, now, &batch)
  }
}
