// What a Zabbix sender asks: `{"request":"sender data","data":[{"host","key","value","clock","ns"}, ...]}`, read with the
// scanning functions of the native protocol, which are as strict as PostgreSQL.

struct ZabbixRequest: Equatable {
  /// "sender data", "agent data", "active checks", ...
  var name = ""
  /// Values that can be taken, in their order.
  var records: [Record] = []
  /// What of the values can't be taken; kept in `ingest.rejected`.
  var faults: [DeliveryFault] = []
  /// Values in all.
  var total: Int { records.count + faults.count }

  enum Fault: Error, Equatable {
    case notJSON(FaultKind)
    case tooManyValues
  }

  /// `now` is for values that carry no time; at most `most` values.
  init(_ json: [UInt8], now: Int64, most: Int) throws(Fault) {
    // To the scanning functions a newline is the end. A carriage return is white space between values and forbidden in
    // strings just as a newline is.
    let padded = json.map { $0 == 0x0a ? 0x0d : $0 } + Array(repeating: 0x0a, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    var at = 0
    do throws(FaultKind) {
      skipBlanks(bytes, &at)
      guard take(UInt8(ascii: "{"), bytes, &at) else { throw .notAnObject }
      try members(bytes, &at, UInt8(ascii: "}")) { (request, bytes, at) throws(FaultKind) in
        try request.member(bytes, &at, now: now, most: most)
      }
      skipBlanks(bytes, &at)
      guard at == json.count else { throw .trailing }
    } catch {
      throw error == .tooLong ? .tooManyValues : .notJSON(error)
    }
  }

  /// What is between an opening bracket and `end`, one after the other.
  private mutating func members(
    _ bytes: RawSpan, _ at: inout Int, _ end: UInt8,
    _ one: (inout ZabbixRequest, RawSpan, inout Int) throws(FaultKind) -> Void
  ) throws(FaultKind) {
    skipBlanks(bytes, &at)
    if take(end, bytes, &at) { return }
    repeat {
      skipBlanks(bytes, &at)
      try one(&self, bytes, &at)
      skipBlanks(bytes, &at)
    } while take(UInt8(ascii: ","), bytes, &at)
    guard take(end, bytes, &at) else { throw .syntax }
  }

  private mutating func member(_ bytes: RawSpan, _ at: inout Int, now: Int64, most: Int) throws(FaultKind) {
    let key = try SmallObject.text(bytes, &at)
    skipBlanks(bytes, &at)
    guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
    skipBlanks(bytes, &at)
    switch key {
    case "request": name = try SmallObject.text(bytes, &at)
    case "data" where take(UInt8(ascii: "["), bytes, &at):
      try members(bytes, &at, UInt8(ascii: "]")) { (request, bytes, at) throws(FaultKind) in
        // The one thing here that no fault names: told apart by the caller.
        if request.total == most { throw .tooLong }
        let start = at
        if let record = ZabbixValue.record(try SmallObject(bytes, &at, depth: 2), now: now) {
          request.records.append(record)
        } else {
          let raw = (start..<at).map { byte(bytes, $0) }
          request.faults.append(DeliveryFault(reason: "host, key or value missing or not usable", raw: raw))
        }
      }
    default: try skipValue(bytes, &at, depth: 1)
    }
  }
}
