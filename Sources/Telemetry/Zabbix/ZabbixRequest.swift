// What a Zabbix sender asks: `{"request":"sender data","data":[{"host","key","value","clock","ns"}, ...]}`, read with the
// scanning functions of the native protocol, which are as strict as PostgreSQL.

struct ZabbixRequest: Equatable {
  /// "sender data", "agent data", "active checks", ...
  var name = ""
  /// Values that can be taken, in their order.
  var records: [Record] = []
  /// Values in all.
  var total = 0

  enum Fault: Error, Equatable { case notJSON(String), tooManyValues(Int) }

  /// `now` is for values that carry no time.
  init(_ json: [UInt8], now: Int64, most: Int) throws(Fault) {
    let padded = json + Array(repeating: 0x0a, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    do throws(FaultKind) {
      // All of it is checked first; from there on every scan finds what it expects.
      var end = 0
      skipSpace(bytes, &end, json.count)
      try skipObject(bytes, &end, isLong: true, json.count)
      skipSpace(bytes, &end, json.count)
      guard end == json.count else { throw .trailing }
    } catch {
      throw .notJSON(error.text)
    }
  }
}
