// Protocols of stock senders over TCP and UDP: syslog, Forward, Influx, Zabbix.
@testable import Compression
@testable import Telemetry

private let unpacking: Unpack = { bytes, limit in
  do throws(CompressionError) {
    let unpacked = try inflate(bytes, limit: limit)
    Meter.noteUnpacked(unpacked.count)
    return .bytes(unpacked)
  } catch { return .refused("\(error)") }
}
private let limits: DeliveryLimits = {
  var limits = DeliveryLimits()
  (limits.messageBytes, limits.inflatedBytes, limits.records) = (64 << 10, 256 << 10, 128)
  return limits
}()
private let syslogWords = [
  "<13>", "<191>1 ", "2026-11-20T09:00:00.003Z ", "Nov 20 09:00:00 ", " - - - - ", "[ex@32473 iut=\"3\"]", "\\\"", "]",
  "57 <", "\u{feff}", "\n", "\r\n", "\0", "host app[1]: ", "%LINK-3-UPDOWN: ",
]

extension FuzzedDecoders {
  static let syslog = FuzzedDecoder(name: "syslog", longest: 8192, words: syslogWords) { bytes throws(Broken) in
    _ = try howeverCut(bytes, each: 96) { pieces throws(Broken) in
      var decoder = SyslogDecoder(window: acceptedTimes, maxMessage: 1024, namesLog2: 10)
      var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 2048)
      var cursor = SyslogCursor(peer: "192.0.2.1")
      var batch = Batch()
      for piece in pieces {
        var rest = piece
        repeat {
          let count = buffer.append(Array(rest).span)
          rest = rest.dropFirst(count)
          _ = decoder.decode(&buffer, &cursor, now: nine, into: &batch, rowLimit: 16_384, byteLimit: 1 << 25)
          if count == 0 && !rest.isEmpty { throw Broken("a full buffer was not decoded") }
        } while !rest.isEmpty
      }
      return try Rows(batch, acceptedTimes)
    }
  }
  static let syslogDatagram = FuzzedDecoder(name: "syslog-datagram", longest: 2048, words: syslogWords) {
    bytes throws(Broken) in
    try Meter.bounded(bytes.count, each: 96) { () throws(Broken) in
      var decoder = SyslogDecoder(window: acceptedTimes, maxMessage: 1024, namesLog2: 10)
      var batch = Batch()
      decoder.decodeDatagram(bytes.span, peer: "192.0.2.1", now: nine, into: &batch)
      try hold(batch.rowCount <= 1, "a datagram is \(batch.rowCount) messages")
      _ = try Rows(batch, acceptedTimes)
    }
  }

  static let forward = FuzzedDecoder(
    name: "forward",
    words: ["tag", "chunk", "compressed", "gzip", "message", "severity", "host", "size", "\u{1f}\u{8b}"]
  ) { bytes throws(Broken) in
    let trace = try howeverCut(bytes, each: 64) { pieces throws(Broken) in
      var session = ForwardSession(peer: "192.0.2.1", limits: limits, unpack: unpacking)
      var trace = SessionTrace()
      trace.note(session.opened())
      for piece in pieces { trace.note(session.received(Array(piece), now: nine)) }
      // A message may be two.
      try hold(trace.open <= limits.underWay + 1, "\(trace.open) deliveries are under way")
      // What an answer lets in is answered, too.
      while trace.open > 0 {
        for number in trace.takeNumbers() {
          trace.note(session.delivered(number, .stored(isDuplicate: false, rejects: []), now: nine))
        }
      }
      trace.note(session.ended(now: nine))
      return trace
    }
    for key in trace.keys { try hold((1...200).contains(key?.count ?? 1), "a key of \(key?.count ?? 0) bytes") }
    try hold(trace.closed.count == 1, "it was closed \(trace.closed.count) times")
    try check(trace.records)
  }

  /// An item ends where its frame does, and its JSON is one that PostgreSQL takes.
  static let messagePack = FuzzedDecoder(name: "messagepack") { bytes throws(Broken) in
    if bytes.isEmpty { return }
    var frame = MessagePackFrame()
    var found: Int?
    do throws(MessagePackFrame.Fault) { found = try frame.length(bytes, from: 0, limit: 1 << 20) } catch { return }
    var cut = MessagePackFrame()
    var later: Int?
    for count in 1...bytes.count {
      do throws(MessagePackFrame.Fault) {
        later = try cut.length(Array(bytes[..<count]), from: 0, limit: 1 << 20)
      } catch { throw Broken("in pieces it is \(error)") }
      if later != nil { break }
    }
    try hold(found == later, "a frame of \(found ?? -1) bytes is one of \(later ?? -1) in pieces")
    var reader = MessagePackReader(bytes)
    let value: MessagePackValue
    do throws(MessagePackFault) {
      value = try Meter.counted(bytes.count, each: 1024) { () throws(MessagePackFault) in try reader.value() }
    } catch {
      try hold(found == nil, "a whole frame is \(error)")
      return
    }
    try hold(reader.at == found, "an item of \(reader.at) bytes has a frame of \(found ?? -1)")
    var object = JSONObject()
    value.add("a", to: &object)
    var json = JSONB(object.bytes)
    try json.check("MessagePack")
  }

  static let influx = FuzzedDecoder(
    name: "influx", longest: 8192,
    words: [
      "cpu,host=a value=1i 1795165200000000000\n", "=\"", "\\\"", "\\ ", "\\,", "=t", "u ", "# ", "message=\"", ",app=",
    ]
  ) { bytes throws(Broken) in
    // In one piece a body and a connection are the same; a body is bounded as a whole.
    var context = InfluxContext(database: InfluxSession.database, peer: "192.0.2.1", now: nine)
    context.maxRecords = 1 << 20
    let write = InfluxWrite(bytes, context)
    let trace = try howeverCut(bytes, each: 192) { pieces throws(Broken) in
      var session = InfluxSession(peer: "192.0.2.1", limits: DeliveryLimits())
      var trace = SessionTrace()
      for piece in pieces {
        trace.note(session.received(Array(piece), now: nine))
        for number in trace.takeNumbers() {
          trace.note(session.delivered(number, .stored(isDuplicate: false, rejects: [])))
        }
      }
      trace.note(session.ended(now: nine))
      for number in trace.takeNumbers() {
        trace.note(session.delivered(number, .stored(isDuplicate: false, rejects: [])))
      }
      trace.keys = []
      return trace
    }
    let delivery = write.delivery(key: nil, source: "192.0.2.1")
    try hold(trace.records == delivery.records && trace.faults == delivery.faults, "\(trace)\nis not\n\(delivery)")
    try hold(trace.closed == [""], "it was closed as \(trace.closed)")
    try check(trace.records)
  }

  static let zabbix = FuzzedDecoder(
    name: "zabbix",
    words: [
      "ZBXD\u{1}", "{\"request\":\"sender data\",\"data\":[", "\"host\":\"", "\"key\":\"", "\"value\":\"", "\"clock\":",
      "\"ns\":",
    ]
  ) { bytes throws(Broken) in
    for data in [bytes, ZabbixPacket.packet(bytes)] {
      let trace = try howeverCut(data, each: 64) { pieces throws(Broken) in
        var session = ZabbixSession(peer: "192.0.2.1", limits: limits, unpack: unpacking)
        var trace = SessionTrace()
        for piece in pieces { trace.note(session.received(Array(piece), now: nine)) }
        for number in trace.takeNumbers() {
          trace.note(session.delivered(number, .stored(isDuplicate: false, rejects: []), now: nine))
        }
        trace.note(session.ended(now: nine))
        return trace
      }
      try check(trace.records)
      if !trace.sent.isEmpty {
        let header = try? ZabbixPacket.header(trace.sent)
        try hold(header?.count == trace.sent.count - ZabbixPacket.headerBytes, "the answer is no packet")
      }
    }
  }

  /// Whatever comes out is within the limit; what was packed comes out again.
  static let inflated = FuzzedDecoder(name: "inflate", longest: 2048) { bytes throws(Broken) in
    let limit = 64 << 10
    for format in [CompressionFormat.gzip, .deflate, .automatic] {
      let unpacked = try Meter.bounded(bytes.count, fixed: 512 << 10, each: 64) { () -> [UInt8]? in
        do throws(CompressionError) { return try inflate(bytes, limit: limit, format: format) } catch { return nil }
      }
      try hold(unpacked?.count ?? 0 <= limit, "\(unpacked?.count ?? 0) bytes came out")
    }
    let again = try? inflate(gzip(bytes), limit: bytes.count, format: .gzip)
    try hold(again == bytes, "packed and unpacked it is \(printable(again ?? []))")
  }
}
