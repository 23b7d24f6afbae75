// Lines of the native protocol, decoded in place: records go straight into the batch, everything else is answered.

/// Where the decoder stopped.
public enum Decoded: Equatable, Sendable {
  /// Every whole line is decoded.
  case incomplete
  /// The batch is full; lines may be left.
  case full
  /// A record is left that is more than the sender may have under way: don't read on before an acknowledgement has
  /// moved the window, then decode again.
  case windowFull
  /// A record came without `hello`, where that is allowed: tell the session, then go on.
  case firstAnonymous
  case hello(Hello)
  case ping(Int64)
  /// The connection has to be closed.
  case failed(NativeFailure)
}

/// Why a connection can't go on.
public enum NativeFailure: Error, Equatable, Sendable {
  /// The record that had to come is `expected`.
  case gap(expected: Int64, found: Int64)
  /// A line that is no record with the expected seq, and not readable otherwise.
  case unreadable(expected: Int64, LineFault)
  case helloExpected
  case badHello(LineFault)
  case badPing(LineFault)

  public var description: String {
    switch self {
    case .gap(let expected, let found): "seq \(found) came, \(expected) was expected"
    case .unreadable(let expected, let fault):
      "seq \(expected) was expected, but the line has none: \(fault.description)"
    case .helloExpected: "hello expected"
    case .badHello(let fault): "bad hello: \(fault.description)"
    case .badPing(let fault): "bad ping: \(fault.description)"
    }
  }
}

/// Times that are accepted, in µs since 2000-01-01 UTC: `from` inclusive, `until` exclusive.
public struct TimeWindow: Equatable, Sendable {
  public var from: Int64
  public var until: Int64
  public init(from: Int64, until: Int64) { (self.from, self.until) = (from, until) }
}

/// Decodes the lines of many connections, one at a time; owned by one thread.
public struct NativeDecoder: ~Copyable {
  public var names: Names
  /// Records with another `ts` are refused.
  public var window: TimeWindow
  /// Bytes of the longest line accepted, without its newline.
  public let maxLine: Int
  /// Records taken and refused since the start.
  public private(set) var taken = 0
  public private(set) var refused = 0
  /// `decode` answers `.full` behind each line.
  public var decodesOneLine = false
  var parser: RecordParser

  public init(window: TimeWindow, maxLine: Int = 65_536, namesLog2: Int = 16) {
    (self.window, self.maxLine) = (window, maxLine)
    names = Names(capacityLog2: namesLog2)
    parser = RecordParser(maxLine: maxLine)
  }

  /// Decodes lines of `buffer` into `batch` until something else than a record comes, or none is left.
  ///
  /// Stops with `.full` when the batch has `rowLimit` rows or `byteLimit` bytes, or is full of names. Refused records go
  /// into the batch, too: they are part of its claim.
  public mutating func decode(
    _ buffer: inout LineBuffer, _ cursor: inout NativeCursor, into batch: inout Batch, rowLimit: Int, byteLimit: Int
  ) -> Decoded {
    names.quota.begin(cursor.source)
    while true {
      if batch.rowCount >= rowLimit || batch.byteCount >= byteLimit || batch.isFullOfNames { return .full }
      if cursor.takesRecords && cursor.next > cursor.lastAllowed { return beyondWindow(&buffer, &cursor) }
      guard let end = buffer.lineEnd() else { return overlongRest(&buffer, &cursor, &batch) }
      let start = buffer.start
      if cursor.isSkipping || end == start {
        cursor.isSkipping = false
        buffer.consume(to: end + 1)
        continue
      }
      let stop = buffer.withBytes { bytes in line(bytes, start, end, &cursor, &batch) }
      // The line that first came without hello is decoded once the session knows.
      if case .firstAnonymous = stop { return .firstAnonymous }
      buffer.consume(to: end + 1)
      if let stop { return stop }
      if decodesOneLine { return .full }
    }
  }

  /// The line that would be decoded next, as a copy; nil when none is whole, or it is only skipped.
  public func nextLine(_ buffer: inout LineBuffer, _ cursor: NativeCursor) -> [UInt8]? {
    guard let end = buffer.lineEnd(), !cursor.isSkipping, end > buffer.start else { return nil }
    let start = buffer.start
    return buffer.withBytes { bytes in copy(bytes, start, end) }
  }
  /// Refuses the next line without reading it, under the seq that has to come. False when the window has to move first,
  /// or no record may come yet.
  public mutating func setAside(
    _ buffer: inout LineBuffer, _ cursor: inout NativeCursor, into batch: inout Batch, reason: String
  ) -> Bool {
    guard cursor.takesRecords, let end = buffer.lineEnd() else { return false }
    if cursor.next > cursor.lastAllowed {
      cursor.waitsForWindow = true
      return false
    }
    let (start, seq) = (buffer.start, cursor.stream == Batch.noStream ? 0 : cursor.next)
    buffer.withBytes { bytes in
      batch.addRejected(
        stream: cursor.stream, seq: seq, source: cursor.source, reason: reason, raw: bytes.extracting(start..<end))
    }
    buffer.consume(to: end + 1)
    cursor.next += 1
    refused += 1
    return true
  }

  /// Decodes one line; nil when it was a record, taken or refused.
  @inline(__always) private mutating func line(
    _ bytes: RawSpan, _ start: Int, _ end: Int, _ cursor: inout NativeCursor, _ batch: inout Batch
  ) -> Decoded? {
    if cursor.takesRecords && end &- start <= maxLine {
      var at = start
      do throws(FaultKind) {
        try parser.parse(bytes, &at, end: end)
        if cursor.stream != Batch.noStream {
          if parser.present & Field.seq.bit == 0 { throw parser.fault(.missing, .seq) }
          if parser.seq != cursor.next { return .failed(.gap(expected: cursor.next, found: parser.seq)) }
        }
        try parser.encode(bytes, &names, window, stream: cursor.stream, into: &batch)
        cursor.next &+= 1
        taken &+= 1
        return nil
      } catch {
        if isBlank(bytes, start, end) { return nil }
        if let other = noRecord(bytes, start, end) { return other }
        let fault = LineFault(error, field: parser.field, offset: at &- start)
        return refuse(bytes, start, end, fault, &cursor, &batch)
      }
    }
    return unusual(bytes, start, end, &cursor, &batch)
  }

  /// The window is full: pings are still answered, records have to wait.
  @inline(never) private func beyondWindow(_ buffer: inout LineBuffer, _ cursor: inout NativeCursor) -> Decoded {
    while let end = buffer.lineEnd() {
      let start = buffer.start
      // The rest of an overlong line, which was the last one in the window, is dropped like anywhere else.
      if cursor.isSkipping || buffer.withBytes({ isBlank($0, start, end) }) {
        cursor.isSkipping = false
        buffer.consume(to: end + 1)
        continue
      }
      guard let other = buffer.withBytes({ noRecord($0, start, end) }) else {
        cursor.waitsForWindow = true
        return .windowFull
      }
      buffer.consume(to: end + 1)
      return other
    }
    if cursor.isSkipping { buffer.consume(to: buffer.end) }
    // Part of a line that fills the buffer is no ping.
    cursor.waitsForWindow = buffer.isFull
    return buffer.isFull ? .windowFull : .incomplete
  }

  /// A line that came before records may, or that is too long.
  @inline(never) private mutating func unusual(
    _ bytes: RawSpan, _ start: Int, _ end: Int, _ cursor: inout NativeCursor, _ batch: inout Batch
  ) -> Decoded? {
    if end - start > maxLine { return refuse(bytes, start, end, LineFault(.tooLong), &cursor, &batch) }
    if isBlank(bytes, start, end) { return nil }
    if let other = noRecord(bytes, start, end) { return other }
    return cursor.allowsAnonymous ? .firstAnonymous : .failed(.helloExpected)
  }

  @inline(never) private func isBlank(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Bool {
    var at = start
    skipBlanks(bytes, &at)
    return at == end
  }
  /// Ping or hello; nil when the line is neither.
  @inline(never) private func noRecord(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Decoded? {
    var at = start
    skipBlanks(bytes, &at)
    guard take(UInt8(ascii: "{"), bytes, &at) else { return nil }
    skipBlanks(bytes, &at)
    if prefix(word(bytes, at), 6) == key("\"ping\"") {
      guard let object = SmallObject(copy(bytes, start, end)), let number = object.number("ping") else {
        return .failed(.badPing(LineFault(.notWhole, offset: at - start)))
      }
      return .ping(number)
    }
    guard prefix(word(bytes, at), 7) == key("\"hello\"") else { return nil }
    guard let object = SmallObject(copy(bytes, start, end)), let members = object.object("hello") else {
      return .failed(.badHello(LineFault(.notAnObject, offset: at - start)))
    }
    let hello = Hello(
      source: members.text("source") ?? "", stream: members.text("stream") ?? "",
      oldest: members.number("oldest") ?? 0, token: members.text("token") ?? "", live: members.text("live") ?? "")
    for text in [hello.source, hello.stream] where !isName(text.utf8) {
      return .failed(.badHello(LineFault(.nameLength)))
    }
    if hello.live.utf8.count > 200 { return .failed(.badHello(LineFault(.nameLength))) }
    if hello.oldest < 0 { return .failed(.badHello(LineFault(.negative))) }
    // Far from the end of Int64: the session adds windows to it.
    if hello.oldest > 1 << 62 { return .failed(.badHello(LineFault(.tooLarge))) }
    return .hello(hello)
  }

  /// Sets the line aside under its seq; without a seq that can be trusted the connection can't go on.
  ///
  /// Of a line that is too long only so much is looked at and kept as is there in any case, so that the same bytes are
  /// refused in the same way however they came.
  @inline(never) private mutating func refuse(
    _ bytes: RawSpan, _ start: Int, _ end: Int, _ fault: LineFault, _ cursor: inout NativeCursor, _ batch: inout Batch
  ) -> Decoded? {
    var seq: Int64 = 0
    let isTooLong = end - start > maxLine
    let kept = isTooLong ? start + min(1024, maxLine) : end
    if cursor.stream != Batch.noStream {
      guard let found = findSeq(bytes, start, isTooLong ? start + maxLine : end) else {
        return .failed(.unreadable(expected: cursor.next, fault))
      }
      if found != cursor.next { return .failed(.gap(expected: cursor.next, found: found)) }
      seq = found
    } else if !cursor.takesRecords {
      return .failed(.helloExpected)
    }
    batch.addRejected(
      stream: cursor.stream, seq: seq, source: cursor.source, reason: fault.description,
      raw: bytes.extracting(start..<kept))
    cursor.next += 1
    refused += 1
    return nil
  }

  /// No newline yet: an overlong line is refused as soon as that is certain, and its rest dropped as it comes.
  @inline(never) private mutating func overlongRest(
    _ buffer: inout LineBuffer, _ cursor: inout NativeCursor, _ batch: inout Batch
  ) -> Decoded {
    let (start, end) = (buffer.start, buffer.end)
    if !cursor.isSkipping {
      guard end - start > maxLine || buffer.isFull else { return .incomplete }
      let stop = buffer.withBytes { bytes in
        refuse(bytes, start, end, LineFault(.tooLong), &cursor, &batch)
      }
      if let stop { return stop }
      cursor.isSkipping = true
    }
    buffer.consume(to: end)
    return .incomplete
  }

  /// The whole number behind the first `"seq":` of the line.
  private func findSeq(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int64? {
    var at = start
    while at + 6 < end {
      if prefix(word(bytes, at), 6) == key("\"seq\":") {
        at += 6
        skipBlanks(bytes, &at)
        // A seq that can't be read is as good as none, and so is one whose end is not there.
        let seq = try? scanWhole(bytes, &at)
        return at < end ? seq : nil
      }
      at += 1
    }
    return nil
  }
  private func copy(_ bytes: RawSpan, _ start: Int, _ end: Int) -> [UInt8] { (start..<end).map { byte(bytes, $0) } }
}
