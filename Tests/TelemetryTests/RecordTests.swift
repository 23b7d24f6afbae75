// Every record type, field by field, as it arrives in its table.
import Chance
@testable import Telemetry
import Testing

@Test func `every field of every record type arrives in its column`() throws {
  var c = Connection()
  c.feed(
    """
    {"seq":1,"type":"queue","ts":"2026-11-20T09:00:00.123Z","host":"mes-07","app":"EQP-ADAPTER-12","queue":"in",\
    "depth":31,"enqueued":5,"dequeued":4,"capacity":1000,"oldest_ms":77}
    {"seq":2,"type":"step","ts":"2026-11-20T09:00:00.123456789Z","host":"mes-07","app":"a","txn":"T-1","step":"load",\
    "status":"ok","elapsed_us":9223372036854775807,"attrs":{"lot":"L1","n":[1,2.5e3,null,true,false,{}]}}
    {"seq":3,"type":"job","ts":"2026-11-20T18:00:01+09:00","host":"h","app":"a","job":"track-in","duration_us":12,\
    "status":"failed","txn":"T-2","cpu_us":3,"sql_us":4,"attrs":{}}
    {"seq":4,"type":"metric","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","name":"cpu","value":-0.30000000000000004,\
    "labels":{"core":"3"}}
    {"seq":5,"type":"log","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","severity":"warning","message":"",\
    "attrs":{"k":"\\u00e9"}}
    {"seq":6,"type":"event","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","kind":"deployed","attrs":{"v":"1.2"}}

    """)
  let found = try Contents(c.batch)
  #expect(found.rejects.isEmpty)
  let stream = "\(NameHash.streamID(source: "mes-07", stream: "s1"))"
  let queue = found[.queue][0]
  #expect(queue["ts"] == "\(nine + 123_000)")
  #expect(found.name(.host, queue["host_id"]) == "mes-07")
  #expect(found.name(.app, queue["app_id"]) == "EQP-ADAPTER-12")
  #expect(found.name(.queue, queue["queue_id"]) == "in")
  #expect([queue["depth"], queue["enqueued"], queue["dequeued"]] == ["31", "5", "4"])
  #expect([queue["capacity"], queue["oldest_ms"]] == ["1000", "77"])
  #expect([queue["stream_id"], queue["seq"]] == [stream, "1"])
  let step = found[.step][0]
  #expect(step["ts"] == "\(nine + 123_456)")
  #expect(found.name(.step, step["step_id"]) == "load" && found.name(.status, step["status_id"]) == "ok")
  #expect(step["txn"] == "T-1" && step["elapsed_us"] == "9223372036854775807")
  #expect(step["attrs"] == #"{"lot":"L1","n":[1,2.5e3,null,true,false,{}]}"#)
  let job = found[.job][0]
  #expect(job["ts"] == "\(nine + 1_000_000)")
  #expect(found.name(.job, job["job_id"]) == "track-in" && found.name(.status, job["status_id"]) == "failed")
  #expect([job["duration_us"], job["cpu_us"], job["sql_us"], job["txn"]] == ["12", "3", "4", "T-2"])
  #expect(job["attrs"] == "{}")
  let metric = found[.metric][0]
  #expect(found.name(.metric, metric["metric_id"]) == "cpu" && metric["value"] == "-0.30000000000000004")
  #expect(metric["labels"] == #"{"core":"3"}"#)
  let log = found[.log][0]
  #expect(log["severity"] == "4" && log["message"] == "" && log["attrs"] == #"{"k":"\u00e9"}"#)
  let event = found[.event][0]
  #expect(found.name(.event, event["kind_id"]) == "deployed" && event["attrs"] == #"{"v":"1.2"}"#)
  #expect(found.claims == [Claim(stream: NameHash.streamID(source: "mes-07", stream: "s1"), first: 1, last: 6)])
}

@Test func `processes, web requests and spans arrive in their columns, and traces with logs and jobs`() throws {
  let trace = "0af7651916cd43dd8448eb211c80319C"
  let tail = #""ts":"2026-11-20T09:00:00Z","host":"h","app":"a""#
  var c = Connection()
  c.feed(
    """
    {"seq":1,"type":"process",\(tail),"process":"eqp","state":"sleeping","pid":7,"up_ms":8,"restarts":9,"cpu":12.5,\
    "memory":4096,"threads":3,"attrs":{"unit":"eqp.service"}}
    {"seq":2,"type":"process",\(tail),"process":"eqp","state":"absent"}
    {"seq":3,"type":"web",\(tail),"method":"GET","path":"/a\\u00e9","code":599,"bytes":10,"duration_us":11,\
    "client":"::1","session":"","referrer":"-","agent":"x","attrs":{}}
    {"seq":4,"type":"web",\(tail),"method":"PUT","path":"","code":100}
    {"seq":5,"type":"span",\(tail),"trace":"\(trace)","span":"ffffffffffffffff","parent":"0000000000000001",\
    "name":"lot in","kind":"consumer","duration_us":12,"status":"ok","attrs":{"k":1}}
    {"seq":6,"type":"span",\(tail),"trace":"\(trace)","span":"0000000000000002","parent":"0000000000000000",\
    "name":"lot in","duration_us":0,"status":"error"}
    {"seq":7,"type":"log",\(tail),"severity":6,"message":"lot 7 in","trace":"\(trace)","span":"0000000000000002"}
    {"seq":8,"type":"job",\(tail),"job":"j","duration_us":1,"status":"ok","trace":"\(trace)"}

    """)
  let found = try Contents(c.batch)
  #expect(found.rejects.isEmpty, "\(found.rejects)")
  let (process, absent) = (found[.process][0], found[.process][1])
  #expect(
    found.name(.process, process["process_id"]) == "eqp" && found.name(.status, process["state_id"]) == "sleeping")
  #expect([process["pid"], process["up_ms"], process["restarts"]] == ["7", "8", "9"])
  #expect([process["cpu"], process["memory_bytes"], process["threads"]] == ["12.5", "4096", "3"])
  #expect(process["attrs"] == #"{"unit":"eqp.service"}"# && process["seq"] == "1")
  #expect(absent["pid"] == nil && absent["cpu"] == nil && absent["memory_bytes"] == nil && absent["seq"] == "2")
  let (web, bare) = (found[.web][0], found[.web][1])
  #expect([web["method"], web["path"], web["code"], web["client"]] == ["GET", "/aé", "599", "::1"])
  #expect(
    [web["bytes"], web["duration_us"], web["session"], web["referrer"], web["agent"]] == ["10", "11", "", "-", "x"])
  #expect(bare["path"] == "" && bare["code"] == "100" && bare["session"] == nil && bare["duration_us"] == nil)
  let (span, root) = (found[.span][0], found[.span][1])
  #expect(span["trace_id"] == trace.lowercased() && span["span_id"] == "-1" && span["parent_id"] == "1")
  #expect(found.name(.span, span["span_name_id"]) == "lot in" && span["kind"] == "5" && span["duration_us"] == "12")
  #expect(root["parent_id"] == nil && root["kind"] == "0" && found.name(.status, root["status_id"]) == "error")
  let log = found[.log][0]
  #expect(log["trace_id"] == trace.lowercased() && log["span_id"] == "2")
  #expect(found.name(.pattern, log["pattern_id"]) == "lot * in")
  #expect(found[.job][0]["trace_id"] == trace.lowercased() && found[.job][0]["span_id"] == nil)
}

@Test func `a record as a value becomes the same row as its line, and is refused for the same reasons`() throws {
  let trace = TraceID(high: 1, low: 2)
  var web = Record.Web(method: "GET", path: "/", code: 200)
  (web.client, web.durationMicroseconds) = ("c", 4)
  var span = Record.Span(trace: trace, span: 5, name: "n", durationMicroseconds: 6, status: "ok")
  (span.kind, span.parent) = (.client, 7)
  var process = Record.Process(process: "p", state: "running")
  (process.cpu, process.pid) = (1.5, 9)
  var job = Record.Job(job: "j", durationMicroseconds: 8, status: "ok")
  job.trace = trace
  var attributes = JSONObject()
  attributes.add("k", "v")
  let bodies: [Record.Body] = [
    .queue(.init(queue: "q", depth: 3)), .step(.init(transaction: "T", step: "s", status: "ok")), .job(job),
    .metric(.init(name: "m", value: -0.5, labels: attributes)), .process(process),
    .log(.init(severity: 4, message: "a\n\"b\" 7")), .web(web), .span(span),
    .event(.init(kind: "k", attributes: attributes)),
    // Refused.
    .queue(.init(queue: "", depth: 3)), .queue(.init(queue: "q", depth: -3)), .metric(.init(name: "m\n", value: 1)),
    .metric(.init(name: String(repeating: "x", count: 201), value: 1)), .log(.init(severity: 8, message: "")),
    .web(.init(method: "GET", path: "/", code: 99)),
    .span(.init(trace: TraceID(high: 0, low: 0), span: 1, name: "n", durationMicroseconds: 1, status: "ok")),
    .span(.init(trace: trace, span: 0, name: "n", durationMicroseconds: 1, status: "ok")),
  ]
  let window = TimeWindow(from: nine, until: nine + 1)
  for (index, body) in bodies.enumerated() {
    let record = Record(time: nine, host: "h", app: "a", body)
    var c = Connection(window: window)
    var line: [UInt8] = []
    record.appendLine(seq: 1, to: &line)
    c.feed(line)
    var batch = Batch()
    var names = Names(capacityLog2: 10)
    let stream = NameHash.streamID(source: "mes-07", stream: "s1")
    let added = batch.add(record, stream: stream, seq: 1, names: &names, window: window, source: "mes-07")
    let (ofLine, ofValue) = (try Contents(c.batch), try Contents(batch))
    #expect((added == .taken) == (index < 9), "\(body): \(added)")
    #expect(ofLine.claims == ofValue.claims && ofLine.rejects.map(\.seq) == ofValue.rejects.map(\.seq), "\(body)")
    if index < 9 { #expect(ofLine.rows == ofValue.rows && ofLine.names == ofValue.names, "\(body)") }
    if case .refused(let reason) = added {
      #expect(ofLine.rejects.first?.reason.hasPrefix(reason) == true, "\(reason), \(ofLine.rejects)")
      #expect(ofValue[.rejected][0]["raw"]?.hasPrefix(#"{"seq":1,"type":"#) == true)
    }
  }
  var batch = Batch()
  var names = Names(capacityLog2: 10)
  let late = Record(time: nine + 1, host: "h", app: "a", bodies[0])
  #expect(
    batch.add(late, stream: Batch.noStream, seq: 0, names: &names, window: window, source: "s")
      == .refused(reason: "ts: is outside of the accepted range"))
  #expect(batch.rejects.isEmpty && batch.rowCount == 1)
}

@Test func `fields come in any order with any blanks, and null means absent`() throws {
  let fields = [
    #""seq" : 1"#, #" "type":"queue""#, "\t\"ts\": \"2026-11-20T09:00:00Z\"", #""host":"h""#, #""app":"a""#,
    #""queue":"q""#, #""depth":1"#, #""capacity" :null "#, #" "oldest_ms": 5 "#,
  ]
  var random = SplitMix64(seed: 7)
  for _ in 0..<200 {
    var c = Connection()
    c.feed("  { " + fields.shuffled(using: &random).joined(separator: " , ") + " } \r\n")
    let rows = try Contents(c.batch)[.queue]
    try #require(rows.count == 1)
    #expect(rows[0]["oldest_ms"] == "5" && rows[0]["depth"] == "1" && rows[0]["capacity"] == nil)
  }
}

@Test func `escapes are undone in texts and names, and a name's id is that of the name itself`() throws {
  var c = Connection()
  c.feed(
    #"{"seq":1,"type":"log","ts":"2026-11-20T09:00:00Z","host":"caf\u00e9","app":"\ud83d\ude00\/\\","severity":0,"#
      + #""message":"a\"b\\c\/d\be\ff\ng\rh\ti\u0001\u20ac"}"# + "\n")
  let found = try Contents(c.batch)
  let row = try #require(found[.log].first)
  #expect(row["message"] == "a\"b\\c/d\u{8}e\u{c}f\ng\rh\ti\u{1}€")
  #expect(row["host_id"] == "\(NameHash.id(of: Array("café".utf8)))")
  #expect(found.name(.host, row["host_id"]) == "café" && found.name(.app, row["app_id"]) == "😀/\\")
}

/// What comes behind `{"seq":1,`, and the reason it has to be refused with.
private let hostile: [(String, FaultKind, Field?)] = [
  (#""type":"queue""#, .syntax, nil),
  (#""type":"queue"}"#, .missing, .ts),
  (#""type":"queue",\#(plain)x"#, .trailing, nil),
  (#""type":"queue",\#(plain){}"#, .trailing, nil),
  (#""type":"queues",\#(plain)"#, .unknownType, .type),
  (#""type":"rejected",\#(plain)"#, .unknownType, .type),
  (#""type":"qu\u0065ue",\#(plain)"#, .unknownType, .type),
  (#""type":1,\#(plain)"#, .notText, .type),
  (#""type":"queue","type":"queue",\#(plain)"#, .repeated, .type),
  (#""type":"queue","colour":1,\#(plain)"#, .unknownField, nil),
  (#""type":"queue","a_very_long_unknown_field_name":1,\#(plain)"#, .unknownField, nil),
  (#""type":"queue","durationXus":1,\#(plain)"#, .unknownField, nil),
  (#""type":"queue","oldest_msx":1,\#(plain)"#, .unknownField, nil),
  (#""type":"queue","":1,\#(plain)"#, .unknownField, nil),
  (#""type":"queue","message":"m",\#(plain)"#, .foreign, .message),
  (#""type":"queue","attrs":{},\#(plain)"#, .foreign, .attrs),
  (#""type":"step",\#(plain)"#, .missing, .txn),
  (#""type":"queue","capacity":"1",\#(plain)"#, .notWhole, .capacity),
  (#""type":"queue","capacity":1.5,\#(plain)"#, .notWhole, .capacity),
  (#""type":"queue","capacity":1e3,\#(plain)"#, .notWhole, .capacity),
  (#""type":"queue","capacity":-1,\#(plain)"#, .negative, .capacity),
  (#""type":"queue","capacity":01,\#(plain)"#, .syntax, .capacity),
  (#""type":"queue","capacity":9223372036854775808,\#(plain)"#, .tooLarge, .capacity),
  (#""type":"queue","capacity":99999999999999999999999,\#(plain)"#, .tooLarge, .capacity),
  (#""type":"queue","capacity":,\#(plain)"#, .notWhole, .capacity),
  (#""type":"queue","capacity":true,\#(plain)"#, .notWhole, .capacity),
  (#""type":"queue","capacity":nul,\#(plain)"#, .syntax, .capacity),
  (#""type":"metric","value":1,"name":"m","ts":"2026-11-20T09:00:00Z","host":"h"}"#, .missing, .app),
  (#""type":"metric","value":"1""#, .notANumber, .value),
  (#""type":"metric","value":NaN"#, .notANumber, .value),
  (#""type":"metric","value":-Infinity"#, .notANumber, .value),
  (#""type":"metric","value":1e999"#, .notFinite, .value),
  (#""type":"metric","value":1."#, .syntax, .value),
  (#""type":"metric","value":1e"#, .syntax, .value),
  (#""type":"metric","value":00.1"#, .syntax, .value),
  (#""type":"metric","value":.5"#, .notANumber, .value),
  (#""type":"metric","labels":[]"#, .notAnObject, .labels),
  (#""type":"metric","labels":"{}""#, .notAnObject, .labels),
  (#""attrs":{"a":1,}"#, .syntax, .attrs),
  (#""attrs":{"a" 1}"#, .syntax, .attrs),
  (#""attrs":{a:1}"#, .syntax, .attrs),
  (#""attrs":{"a":[1,]}"#, .syntax, .attrs),
  (#""attrs":{"a":[1 2]}"#, .syntax, .attrs),
  (#""attrs":{"a":tru}"#, .syntax, .attrs),
  (#""attrs":{"a":"\u0000"}"#, .zeroCharacter, .attrs),
  (#""attrs":{"\u0000":1}"#, .zeroCharacter, .attrs),
  (#""attrs":{"a":"\ud800"}"#, .loneSurrogate, .attrs),
  (#""attrs":{"a":"\ud800\ud800"}"#, .loneSurrogate, .attrs),
  (#""attrs":{"a":"\udc00"}"#, .loneSurrogate, .attrs),
  (#""attrs":{"a":"\x"}"#, .badEscape, .attrs),
  (#""attrs":{"a":"\u12g4"}"#, .badEscape, .attrs),
  (#""attrs":{"a":1e1001}"#, .tooLarge, .attrs),
  (#""attrs":{"a":-}"#, .notANumber, .attrs),
  (#""attrs":{"a":"tab\#u{9}"}"#, .controlCharacter, .attrs),
  (#""attrs":"# + String(repeating: #"{"a":"#, count: 40) + "1" + String(repeating: "}", count: 40), .tooDeep, .attrs),
  (#""attrs":{"a":"# + String(repeating: "[", count: 5000), .tooDeep, .attrs),
  (#""type":"process","process":"p",\#(plain)"#, .missing, .state),
  (#""type":"process","process":"","state":"s""#, .nameLength, .process),
  (#""type":"process","state":7"#, .notText, .state),
  (#""type":"process","pid":-1"#, .negative, .pid),
  (#""type":"process","pid":1.5"#, .notWhole, .pid),
  (#""type":"process","up_ms":"1""#, .notWhole, .upMs),
  (#""type":"process","restarts":9223372036854775808"#, .tooLarge, .restarts),
  (#""type":"process","cpu":-0.5"#, .negative, .cpu),
  (#""type":"process","cpu":"1""#, .notANumber, .cpu),
  (#""type":"process","cpu":1e400"#, .notFinite, .cpu),
  (#""type":"process","memory":1e3"#, .notWhole, .memory),
  (#""type":"process","threads":[]"#, .notWhole, .threads),
  (#""type":"web","code":99"#, .notACode, .code),
  (#""type":"web","code":600"#, .notACode, .code),
  (#""type":"web","code":-200"#, .notACode, .code),
  (#""type":"web","code":"200""#, .notWhole, .code),
  (#""type":"web","method":"""#, .nameLength, .method),
  (#""type":"web","method":"G\u000aT""#, .controlCharacter, .method),
  (#""type":"web","path":1"#, .notText, .path),
  (#""type":"web","path":"\u0000""#, .zeroCharacter, .path),
  (#""type":"web","client":"\ud800""#, .loneSurrogate, .client),
  (#""type":"web","session":{}"#, .notText, .session),
  (#""type":"web","referrer":"open"#, .controlCharacter, .referrer),
  (#""type":"web","agent":"\q""#, .badEscape, .agent),
  (#""type":"web","bytes":-1"#, .negative, .bytes),
  (#""type":"span","trace":"0af7651916cd43dd8448eb211c80319""#, .notATrace, .trace),
  (#""type":"span","trace":"0af7651916cd43dd8448eb211c80319cc""#, .notATrace, .trace),
  (#""type":"span","trace":"0af7651916cd43dd8448eb211c80319g""#, .notATrace, .trace),
  (#""type":"span","trace":"00000000000000000000000000000000""#, .notATrace, .trace),
  (#""type":"span","trace":"""#, .notATrace, .trace),
  (#""type":"span","trace":7"#, .notText, .trace),
  (#""type":"span","span":"b7ad6b716920333""#, .notASpan, .span),
  (#""type":"span","span":"0000000000000000""#, .notASpan, .span),
  (#""type":"span","parent":"b7ad6b71692033311""#, .notASpan, .parent),
  (#""type":"span","parent":"0x00000000000001""#, .notASpan, .parent),
  (
    #""type":"event","trace":"0af7651916cd43dd8448eb211c80319c","kind":"k","ts":"2026-11-20T09:00:00Z","host":"h","app":"a"}"#,
    .foreign, .trace
  ),
  (
    #""type":"span","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","trace":"0af7651916cd43dd8448eb211c80319c","span":"b7ad6b7169203331","name":"n","kind":"servers","duration_us":1,"status":"ok"}"#,
    .notASpanKind, .kind
  ),
  (#""message":"\u0000""#, .zeroCharacter, .message),
  (#""message":"\ud83d""#, .loneSurrogate, .message),
  (#""message":"\ude00\ud83d""#, .loneSurrogate, .message),
  (#""message":"a\#u{1}b""#, .controlCharacter, .message),
  (#""message":"open"#, .controlCharacter, .message),
  (#""message":"open\"#, .badEscape, .message),
  (#""message":1"#, .notText, .message),
  (#""severity":8"#, .notASeverity, .severity),
  (#""severity":-1"#, .notASeverity, .severity),
  (#""severity":"loud""#, .notASeverity, .severity),
  (#""severity":"very very loud""#, .notASeverity, .severity),
  (#""host":"""#, .nameLength, .host),
  (#""host":"\#(String(repeating: "x", count: 201))""#, .nameLength, .host),
  (#""host":"a\nb""#, .controlCharacter, .host),
  (#""ts":1"#, .badTime, .ts),
  (#""ts":"""#, .badTime, .ts),
  (#""ts":"2026-11-20""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:00:00""#, .badTime, .ts),
  (#""ts":"2026-13-20T09:00:00Z""#, .badTime, .ts),
  (#""ts":"2026-02-29T09:00:00Z""#, .badTime, .ts),
  (#""ts":"2026-11-20T24:00:00Z""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:60:00Z""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:00:61Z""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:00:00.Z""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:00:00+0900""#, .badTime, .ts),
  (#""ts":"2026-11-20T09:00:00+25:00""#, .badTime, .ts),
  (#""ts":"2026/11/20T09:00:00Z""#, .badTime, .ts),
  (#""ts":"0000-01-01T00:00:00Z""#, .badTime, .ts),
]

@Test func `a hostile line is refused with its reason, and the next record is taken`() throws {
  for (rest, kind, field) in hostile {
    var c = Connection()
    c.feed(#"{"seq":1,"# + rest + "\n" + queueLine(2))
    let found = try Contents(c.batch)
    try #require(found.rejects.count == 1, "\(rest)")
    let prefix = (field.map { $0.text + ": " } ?? "") + kind.text + " (byte "
    #expect(found.rejects[0].reason.hasPrefix(prefix), "\(rest): \(found.rejects[0].reason)")
    #expect(found[.queue].count == 1 && found[.rejected][0]["raw"] == #"{"seq":1,"# + rest, "\(rest)")
    #expect(found.claims.map(\.last) == [2])
  }
}

@Test func `text that is no UTF-8 is refused, and all that is, is taken`() throws {
  let bad: [[UInt8]] = [
    [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
    [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xe2, 0x82], [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xff], [0xfe],
  ]
  let good: [[UInt8]] = [
    [0xc2, 0x80], [0xdf, 0xbf], [0xe0, 0xa0, 0x80], [0xed, 0x9f, 0xbf], [0xee, 0x80, 0x80], [0xef, 0xbf, 0xbf],
    [0xf0, 0x90, 0x80, 0x80], [0xf4, 0x8f, 0xbf, 0xbf],
  ]
  for field in [#""message":"ab"#, #""host":"ab"#, #""attrs":{"k":"ab"#, #""message":"\t"#] {
    for text in bad {
      var c = Connection()
      c.feed(Array(#"{"seq":1,\#(field)"#.utf8) + text + Array("cdefghijkl\"}\n".utf8))
      let rejects = c.batch.rejects
      try #require(rejects.count == 1)
      #expect(rejects[0].reason.contains("not valid UTF-8"), "\(field) \(text)")
    }
    for text in good {
      var c = Connection()
      c.feed(Array(#"{"seq":1,\#(field)"#.utf8) + text + Array("cdefghijkl\"\n".utf8))
      #expect(c.batch.rejects.map { $0.reason.contains("UTF-8") } == [false], "\(field) \(text)")
    }
  }
}

@Test func `a time outside of the accepted range is refused, its borders are not`() throws {
  var c = Connection(window: TimeWindow(from: nine, until: nine + 1_000_000))
  for (seq, time) in [(1, "08:59:59.999999"), (2, "09:00:00"), (3, "09:00:00.999999"), (4, "09:00:01")] {
    c.feed(
      #"{"seq":\#(seq),"type":"queue","ts":"2026-11-20T\#(time)Z","host":"h","app":"a","queue":"q","depth":1}"# + "\n")
  }
  let found = try Contents(c.batch)
  #expect(found[.queue].map { $0["seq"] } == ["2", "3"])
  #expect(found.rejects.map(\.seq) == [1, 4])
  #expect(found.rejects.allSatisfy { $0.reason.hasPrefix("ts: is outside of the accepted range") })
}

@Test func `times agree with the calendar`() throws {
  let expected: [(String, Int64)] = [
    ("2000-01-01T00:00:00Z", 0), ("1999-12-31T23:59:59.999999Z", -1), ("2024-02-29T00:00:00Z", 762_480_000_000_000),
    ("2026-11-20 09:00:00z", nine), ("2026-11-20t18:00:00.5+09:00", nine + 500_000),
    ("2026-11-19T23:30:00-09:30", nine), ("2016-12-31T23:59:60Z", 536_544_000_000_000),
    ("2026-11-20T09:00:00.1234567891Z", nine + 123_456), ("9999-12-31T23:59:59Z", 252_455_615_999_000_000),
    ("0001-01-01T00:00:00Z", -63_082_281_600_000_000),
  ]
  for (text, micro) in expected {
    var c = Connection()
    c.feed(#"{"seq":1,"type":"event","ts":"\#(text)","host":"h","app":"a","kind":"k"}"# + "\n")
    #expect(try Contents(c.batch)[.event].first?["ts"] == "\(micro)", "\(text)")
  }
}

@Test func `days and dates are each other's inverse`() {
  var expected = daysSince2000(1, 1, 1)
  for year in 1...2400 {
    for month in 1...12 {
      for day in [1, daysIn(month: month, of: year)] {
        if day == 1 { #expect(daysSince2000(year, month, day) == expected) }
        let found = date(daysSince2000: daysSince2000(year, month, day))
        #expect(found.year == year && found.month == month && found.day == day)
      }
      expected += daysIn(month: month, of: year)
    }
  }
}

@Test func `there are at least sixty hostile lines of the native protocol`() { #expect(hostile.count >= 60) }
