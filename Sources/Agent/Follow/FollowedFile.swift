// One open file that is followed: lines from where reading stands, through growth and truncation.
internal import Platform
internal import Telemetry

/// Owned by the thread "collect".
final class FollowedFile {
  let key: String
  let device: UInt64
  let inode: UInt64
  var path: String
  /// Since when no name that is looked for leads to it: it was renamed or removed, and is read to its end.
  var goneSince: BootInstant?
  private(set) var isBinary = false
  private let file: Descriptor
  /// Of the next byte to read: always the beginning of a line, but for `isSkipping`.
  private(set) var offset: Int64
  private var isSkipping = false
  private var joiner = LineJoiner()
  private var lastGrowth: BootInstant
  private var seenSize: Int64 = -1
  /// Bytes just before `offset`: when they are others, the file was truncated and written anew.
  private var tail: [UInt8] = []
  private var savedOffset: Int64 = -1
  private var isChecked: Bool

  static let tailBytes = 64

  init(
    key: String, path: String, file: consuming Descriptor, identity: FileIdentity, at position: FilePosition,
    now: BootInstant
  ) {
    (self.key, self.path) = (key, path)
    (device, inode) = (identity.device, identity.inode)
    (offset, isSkipping, isBinary) = (position.offset, position.isSkipping, position.isBinary)
    lastGrowth = now
    isChecked = position.offset > 0
    let count = min(position.offset, Int64(Self.tailBytes))
    tail = readBytes(file.raw, at: position.offset - count, count: Int(count))
    self.file = file
  }

  /// Behind the last record that was given out.
  private var settled: Int64 { joiner.pending?.start ?? offset }

  /// What to save, if it moved since it was asked for last.
  func position() -> FilePosition? {
    guard settled != savedOffset else { return nil }
    savedOffset = settled
    var position = FilePosition(device: device, inode: inode, offset: settled, path: path)
    position.isSkipping = isSkipping && joiner.pending == nil
    position.isBinary = isBinary
    position.takePrints(file.raw)
    return position
  }

  /// Reads on, a few buffers at most; `emit` takes each record and says whether there is room for another one.
  /// True when everything there is was read. The buffer has to be larger than `maxLine`.
  func read(
    _ rule: JoinRule?, maxLine: Int, buffer: inout ReadBuffer, now: BootInstant, emit: (JoinedLines) -> Bool
  ) -> Bool {
    precondition(buffer.bytes.count > maxLine)
    guard let identity = fileIdentity(file.raw) else { return true }
    if identity.size < offset || (identity.size != seenSize && isReplaced()) {
      log(.info, "a followed file was truncated", ["file": path, "from": "\(offset)", "to": "\(identity.size)"])
      if let rest = joiner.flush() { _ = emit(rest) }
      (offset, isSkipping, isBinary, isChecked, tail) = (0, false, false, false, [])
    }
    if identity.size != seenSize {
      lastGrowth = now
      seenSize = identity.size
    }
    if isBinary { offset = identity.size }
    var budget = 4
    while offset < identity.size {
      guard budget > 0 else { return false }
      budget -= 1
      guard buffer.fillOnce(from: file.raw, offset: offset) > 0 else { break }
      if !isChecked, !check(identity, buffer) { return true }
      switch take(buffer, rule, maxLine, now, emit) {
      case .full: return false
      case .progress: continue
      case .partial: budget = 0
      }
      if budget == 0 { break }
    }
    if let whole = joiner.due(rule, now: now), !emit(whole) { return false }
    return true
  }

  private func isReplaced() -> Bool {
    !tail.isEmpty && readBytes(file.raw, at: offset - Int64(tail.count), count: tail.count) != tail
  }

  /// At the beginning: whether it is text. False: nothing to read.
  private func check(_ identity: FileIdentity, _ buffer: ReadBuffer) -> Bool {
    isChecked = true
    guard looksBinary(buffer.bytes[..<min(buffer.count, 4096)]) else { return true }
    log(.warning, "a followed file is no text, and is passed over", ["file": path])
    isBinary = true
    offset = identity.size
    tail = []
    return false
  }

  private enum Taken { case full, progress, partial }

  private func take(
    _ buffer: ReadBuffer, _ rule: JoinRule?, _ maxLine: Int, _ now: BootInstant, _ emit: (JoinedLines) -> Bool
  ) -> Taken {
    let bytes = buffer.bytes[..<buffer.count]
    var at = 0
    defer { remember(bytes, at) }
    let start = offset
    while at < bytes.count {
      let newline = bytes[at...].firstIndex(of: 0x0a)
      if isSkipping {
        at = newline.map { $0 + 1 } ?? bytes.count
        isSkipping = newline == nil
        offset = start + Int64(at)
        continue
      }
      // A writer that kept its place after a truncation leaves a hole of zeros.
      let zeros = bytes[at...].prefix { $0 == 0 }.count
      if zeros > 0 {
        at += zeros
        offset = start + Int64(at)
        if at == bytes.count, let data = nextData(file.raw, from: offset), data > offset { offset = data }
        continue
      }
      var end = newline ?? bytes.count
      if newline == nil && end - at < maxLine { return at > 0 ? .progress : .partial }
      let isCut = end - at > maxLine
      if isCut { end = at + maxLine }
      let next = isCut ? end : end + 1
      if !isCut, end > at, bytes[end - 1] == 0x0d { end -= 1 }
      if newline == nil && !isCut { return .partial }
      let line = JoinedLines(
        bytes: Array(bytes[at..<end]), start: start + Int64(at), end: start + Int64(next), isCut: isCut)
      at = next
      offset = line.end
      isSkipping = isCut
      if line.bytes.isEmpty && rule == nil { continue }
      if let whole = joiner.add(line, rule, now: now), !emit(whole) { return .full }
    }
    return .progress
  }
  private func remember(_ bytes: ArraySlice<UInt8>, _ at: Int) {
    // A jump over a hole leaves nothing to remember.
    guard at > 0 else { return }
    tail = Array(bytes[max(0, at - Self.tailBytes)..<min(at, bytes.count)])
    if tail.allSatisfy({ $0 == 0 }) { tail = [] }
  }

  /// Nobody writes it any more: gone, read to its end, and still for a while.
  func isFinished(now: BootInstant, waitMilliseconds: Double) -> Bool {
    guard let goneSince else { return false }
    return now.milliseconds(since: goneSince) > waitMilliseconds
      && now.milliseconds(since: lastGrowth) > waitMilliseconds
  }
  /// What is left at the very end: the record that waited for more, and a line without its end.
  func finish(_ rule: JoinRule?, maxLine: Int, now: BootInstant) -> [JoinedLines] {
    var found: [JoinedLines] = []
    let rest = isBinary || isSkipping ? [] : readBytes(file.raw, at: offset, count: maxLine).filter { $0 != 0 }
    if !rest.isEmpty {
      let line = JoinedLines(bytes: rest, start: offset, end: offset + Int64(rest.count))
      if let whole = joiner.add(line, rule, now: now) { found.append(whole) }
      offset = line.end
    }
    if let whole = joiner.flush() { found.append(whole) }
    return found
  }
}

/// More than a tenth of control characters that no text has; zeros at the beginning are a hole.
func looksBinary(_ bytes: ArraySlice<UInt8>) -> Bool {
  let text = bytes.drop { $0 == 0 }
  let odd = text.reduce(0) { sum, byte in
    let isOdd = byte < 0x20 && byte != 9 && byte != 10 && byte != 13 && byte != 27 && byte != 8 && byte != 12
    return sum + (isOdd ? 1 : 0)
  }
  return odd * 10 > text.count
}
