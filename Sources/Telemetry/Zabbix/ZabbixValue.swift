// One value of an item as a record: numbers become metrics, everything else a line of log.

enum ZabbixValue {
  /// What all of a Zabbix sender's items belong to; the item's key says the rest.
  static let app = "zabbix"

  /// Nil when host, key or value are missing or can't be names: such a value counts as failed.
  static func record(_ item: SmallObject, now: Int64) -> Record? {
    guard let host = item.text("host"), isName(host), let key = item.text("key"), !key.isEmpty else { return nil }
    let time = time(item, now)
    if let number = item.double("value") ?? item.text("value").flatMap(number) {
      let (name, parameters) = split(key)
      guard isName(name) else { return nil }
      var labels: JSONObject?
      if let parameters {
        labels = JSONObject()
        labels?.add("parameters", parameters)
      }
      return Record(time: time, host: host, app: app, .metric(Record.Metric(name: name, value: number, labels: labels)))
    }
    guard let text = item.text("value"), text.utf8.count <= RecordMembers.mostMessageBytes else { return nil }
    var log = Record.Log(severity: 6, message: text)
    var attributes = JSONObject()
    attributes.add("key", key)
    log.attributes = attributes
    return Record(time: time, host: host, app: app, .log(log))
  }

  /// `clock` seconds and `ns` nanoseconds since 1970; a time out of range is refused with its record.
  private static func time(_ item: SmallObject, _ now: Int64) -> Int64 {
    guard let clock = item.number("clock") else { return now }
    let most: Int64 = 400_000_000_000
    let nanoseconds = item.number("ns").map { min(max($0, 0), 999_999_999) } ?? 0
    return (min(max(clock, -most), most) - 946_684_800) * 1_000_000 + nanoseconds / 1000
  }

  /// A finite number in decimal, with sign, point and exponent as people write them, and nothing beside it but blanks.
  static func number(_ text: String) -> Double? {
    var bytes = Array(text.utf8)[...]
    while bytes.first == 0x20 { bytes.removeFirst() }
    while bytes.last == 0x20 { bytes.removeLast() }
    guard (1...64).contains(bytes.count),
      bytes.allSatisfy({ (0x30...0x39).contains($0) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains($0) }),
      let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite
    else { return nil }
    return value
  }

  /// `vfs.fs.size[/,used]` is `vfs.fs.size` with the parameters `/,used`; a key of another form is all name.
  static func split(_ key: String) -> (name: String, parameters: String?) {
    let bytes = key.utf8
    guard bytes.last == UInt8(ascii: "]"), let open = bytes.firstIndex(of: UInt8(ascii: "[")), open != bytes.startIndex
    else { return (key, nil) }
    return (String(key[..<open]), String(key[bytes.index(after: open)..<bytes.index(before: bytes.endIndex)]))
  }

  private static func isName(_ text: String) -> Bool {
    (1...200).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 }
  }
}
