// A record's line is decoded to the row that the record itself gives.
@testable import Telemetry
import Testing

private func attributes() -> JSONObject {
  var object = JSONObject()
  object.add("quote\"", "a\\b\n\u{1}é")
  object.add("n", Int64(-3))
  return object
}

/// One of each type with everything it can say, and one with only what it must.
private let samples: [Record.Body] = {
  var queue = Record.Queue(queue: "in", depth: 31)
  (queue.enqueued, queue.dequeued, queue.capacity, queue.oldestMilliseconds) = (5, 4, 1000, 77)
  var step = Record.Step(transaction: "T-1\t", step: "weigh", status: "ok")
  (step.elapsedMicroseconds, step.attributes) = (17, attributes())
  var job = Record.Job(job: "weld", durationMicroseconds: 12, status: "failed")
  (job.transaction, job.cpuMicroseconds, job.sqlMicroseconds) = ("T-2", 3, 4)
  (job.trace, job.span, job.attributes) = (TraceID(high: 1, low: .max), 0x0a, attributes())
  var process = Record.Process(process: "mes", state: "running")
  (process.pid, process.upMilliseconds, process.restarts, process.cpu) = (411, 10, 2, 12.5)
  (process.memory, process.threads, process.attributes) = (1 << 30, 9, attributes())
  var log = Record.Log(severity: 3, message: "x \"y\"\n\\ é 로트 \u{1F600}")
  (log.trace, log.span, log.attributes) = (TraceID(high: 7, low: 8), .max, attributes())
  var web = Record.Web(method: "GET", path: "/a\"b", code: 404)
  (web.bytes, web.durationMicroseconds, web.client, web.session) = (9, 8, "192.0.2.1", "s")
  (web.referrer, web.agent, web.attributes) = ("r", "Mozilla/5.0 (X)", attributes())
  var span = Record.Span(
    trace: TraceID(high: 0xabc, low: 1), span: 5, name: "GET /", durationMicroseconds: 6, status: "ok")
  (span.parent, span.kind, span.attributes) = (4, .server, attributes())
  return [
    .queue(queue), .queue(.init(queue: "q", depth: 0)), .step(step),
    .step(.init(transaction: "", step: "s", status: "x")),
    .job(job), .job(.init(job: "j", durationMicroseconds: 0, status: "ok")),
    .metric(.init(name: "cpu", value: -1.5e-7, labels: attributes())), .metric(.init(name: "n", value: 1e300)),
    .process(process), .process(.init(process: "p", state: "absent")), .log(log), .log(.init(severity: 7, message: "")),
    .web(web), .web(.init(method: "POST", path: "/", code: 200)), .span(span), .event(.init(kind: "deploy")),
    .event(.init(kind: "k", attributes: attributes())),
  ]
}()

@Test(arguments: samples.indices) func `a line of a record decodes to the record's own row`(_ index: Int) throws {
  let record = Record(time: nine + 123_456, host: "mes-07", app: "EQP \"12\"", samples[index])
  var line: [UInt8] = []
  record.appendLine(seq: 1, to: &line)
  var connection = Connection()
  connection.feed(line)
  var decoder = NativeDecoder(window: TimeWindow(from: .min, until: .max), namesLog2: 10)
  var batch = Batch()
  _ = batch.add(record, stream: Batch.noStream, seq: 0, names: &decoder.names, window: decoder.window, source: "")
  let decoded = try Contents(connection.batch)
  #expect(decoded.rejects.isEmpty, "\(decoded.rejects) \(String(decoding: line, as: UTF8.self))")
  let direct = try Contents(batch)
  #expect(decoded.names == direct.names)
  func plain(_ rows: [Table: [Row]]) -> [Table: [Row]] {
    rows.mapValues { $0.map { $0.filter { $0.key != "stream_id" && $0.key != "seq" } } }
  }
  #expect(plain(decoded.rows) == plain(direct.rows))
  #expect(decoded.rows.count == 1)
}

@Test func `times are written as they are read, from the year 1 to 9999`() {
  func text(_ time: Int64) -> String {
    var bytes: [UInt8] = []
    appendRFC3339(time, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }
  #expect(text(0) == "2000-01-01T00:00:00.000000Z")
  #expect(text(-1) == "1999-12-31T23:59:59.999999Z")
  #expect(text(nine + 1) == "2026-11-20T09:00:00.000001Z")
  #expect(text(.max) == "9999-12-31T23:59:59.999999Z")
  #expect(text(.min) == "0001-01-01T00:00:00.000000Z")
}
