// Lines that an application writes without a library: checked as a node checks them, and completed.

/// What a line gets that does not say it itself.
public struct LineDefaults: Equatable, Sendable {
  /// µs since 2000-01-01 UTC.
  public var time: Int64
  public var host: String
  public var app: String
  public init(time: Int64, host: String, app: String) { (self.time, self.host, self.app) = (time, host, app) }
}

/// Completes one line at a time; owned by one thread.
public struct LineCompleter: ~Copyable {
  /// Bytes of the longest line that comes out, without its newline and the seq it gets later.
  public let maxLine: Int
  private var parser: RecordParser

  public init(maxLine: Int = 65_000) {
    self.maxLine = maxLine
    parser = RecordParser(maxLine: maxLine + 1024)
  }

  /// The record as a line of its own, with its newline: ts, host and app filled in where they are absent or null, a seq
  /// dropped (it is the sender's own). The time's range and the names are left to the node.
  public mutating func complete(_ line: ArraySlice<UInt8>, _ defaults: LineDefaults) throws(LineFault) -> [UInt8] {
    if line.count > maxLine { throw LineFault(.tooLong) }
    let completed = try fill(line, defaults)
    if completed.count > maxLine { throw LineFault(.tooLong) }
    let padded = completed + Array(repeating: 0x0a, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    var at = 0
    do throws(FaultKind) {
      try parser.parse(bytes, &at, end: completed.count)
      try parser.checkForm()
    } catch {
      throw LineFault(error, field: parser.field, offset: 0)
    }
    return completed + [0x0a]
  }

  /// Puts the members behind those that are missing. What is wrong inside of members is found by the parser.
  private func fill(_ line: ArraySlice<UInt8>, _ defaults: LineDefaults) throws(LineFault) -> [UInt8] {
    let padded = Array(line) + Array(repeating: 0x0a, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    var at = 0
    var members: [Range<Int>] = []
    var has: Set<String> = []
    do throws(FaultKind) {
      skipBlanks(bytes, &at)
      guard take(UInt8(ascii: "{"), bytes, &at) else { throw .syntax }
      skipBlanks(bytes, &at)
      var more = !take(UInt8(ascii: "}"), bytes, &at)
      while more {
        skipBlanks(bytes, &at)
        let start = at
        // Keys as they are written: one with escapes is no field of a record, and the parser says so.
        guard byte(bytes, at) == UInt8(ascii: "\"") else { throw .syntax }
        try skipValue(bytes, &at)
        let key = String(decoding: padded[(start + 1)..<(at - 1)], as: UTF8.self)
        skipBlanks(bytes, &at)
        guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
        skipBlanks(bytes, &at)
        let isNull = byte(bytes, at) == UInt8(ascii: "n")
        try skipValue(bytes, &at)
        if !has.insert(key).inserted { throw .repeated }
        if key == "seq" || isNull && ["ts", "host", "app"].contains(key) {
          if isNull { has.remove(key) }
        } else {
          members.append(start..<at)
        }
        skipBlanks(bytes, &at)
        if take(UInt8(ascii: ","), bytes, &at) { continue }
        guard take(UInt8(ascii: "}"), bytes, &at) else { throw .syntax }
        more = false
      }
      skipBlanks(bytes, &at)
      guard at == line.count else { throw .trailing }
    } catch {
      throw LineFault(error, offset: min(at, line.count))
    }
    return join(padded, members, has, defaults)
  }

  private func join(
    _ bytes: [UInt8], _ members: [Range<Int>], _ has: Set<String>, _ defaults: LineDefaults
  ) -> [UInt8] {
    var completed: [UInt8] = []
    func begin() { completed.append(completed.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ",")) }
    if !has.contains("ts") {
      begin()
      completed += Array(#""ts":""#.utf8)
      appendRFC3339(defaults.time, to: &completed)
      completed.append(UInt8(ascii: "\""))
    }
    for (key, value) in [("host", defaults.host), ("app", defaults.app)] where !has.contains(key) {
      begin()
      JSONObject.append(quoted: key, to: &completed)
      completed.append(UInt8(ascii: ":"))
      JSONObject.append(quoted: value, to: &completed)
    }
    for member in members {
      begin()
      completed += bytes[member]
    }
    if completed.isEmpty { begin() }
    completed.append(UInt8(ascii: "}"))
    return completed
  }
}
