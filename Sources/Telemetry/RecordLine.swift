// A record as one line of the native protocol: the inverse of what the decoder does, for senders.

extension Record {
  /// Appends the record as a line with its newline. Without a seq it is a record that nobody acknowledges.
  ///
  /// Nothing is checked: what the protocol does not allow (an empty name, a metric that is not finite) is refused by the
  /// node. U+0000 in a text becomes U+FFFD.
  public func appendLine(seq: Int64? = nil, to bytes: inout [UInt8]) {
    var line = LineWriter(bytes: bytes)
    bytes = []
    if let seq { line.put("seq", seq) }
    line.put("type", plain: body.typeName)
    line.putKey("ts")
    line.bytes.append(UInt8(ascii: "\""))
    appendRFC3339(time, to: &line.bytes)
    line.bytes.append(UInt8(ascii: "\""))
    line.put("host", host)
    line.put("app", app)
    switch body {
    case .queue(let queue): line.put(queue)
    case .step(let step): line.put(step)
    case .job(let job): line.put(job)
    case .metric(let metric):
      line.put("name", metric.name)
      line.put("value", metric.value)
      line.put("labels", metric.labels)
    case .process(let process): line.put(process)
    case .log(let log):
      line.put("severity", Int64(log.severity))
      line.put("message", log.message)
      line.put(trace: log.trace, span: log.span)
      line.put("attrs", log.attributes)
    case .web(let web): line.put(web)
    case .span(let span): line.put(span)
    case .event(let event):
      line.put("kind", event.kind)
      line.put("attrs", event.attributes)
    }
    bytes = line.finish()
  }
}

extension Record.Body {
  /// As `type` has it in a line.
  public var typeName: StaticString {
    switch self {
    case .queue: "queue"
    case .step: "step"
    case .job: "job"
    case .metric: "metric"
    case .process: "process"
    case .log: "log"
    case .web: "web"
    case .span: "span"
    case .event: "event"
    }
  }
}

/// `2026-11-20T09:00:00.123456Z`, in quotes or not as the caller likes; the years 1 to 9999 are what the protocol reads,
/// a time outside is written as the nearest of them.
public func appendRFC3339(_ time: Int64, to bytes: inout [UInt8]) {
  let day: Int64 = 86_400_000_000
  let first = Int64(daysSince2000(1, 1, 1)) * day
  let last = Int64(daysSince2000(9999, 12, 31)) * day + day - 1
  let clamped = min(max(time, first), last)
  var days = clamped / day
  var rest = clamped % day
  if rest < 0 { (days, rest) = (days - 1, rest + day) }
  let (year, month, dayOfMonth) = date(daysSince2000: Int(days))
  func put(_ value: Int, _ width: Int) {
    var scale = 1
    for _ in 1..<width { scale *= 10 }
    while scale > 0 {
      bytes.append(UInt8(48 + value / scale % 10))
      scale /= 10
    }
  }
  let seconds = Int(rest / 1_000_000)
  put(year, 4)
  bytes.append(UInt8(ascii: "-"))
  put(month, 2)
  bytes.append(UInt8(ascii: "-"))
  put(dayOfMonth, 2)
  bytes.append(UInt8(ascii: "T"))
  put(seconds / 3600, 2)
  bytes.append(UInt8(ascii: ":"))
  put(seconds / 60 % 60, 2)
  bytes.append(UInt8(ascii: ":"))
  put(seconds % 60, 2)
  bytes.append(UInt8(ascii: "."))
  put(Int(rest % 1_000_000), 6)
  bytes.append(UInt8(ascii: "Z"))
}

/// An object that is written member by member behind what `bytes` holds already.
private struct LineWriter {
  var bytes: [UInt8]
  private var isFirst = true
  init(bytes: [UInt8]) { self.bytes = bytes + [UInt8(ascii: "{")] }

  mutating func putKey(_ key: StaticString) {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
    put(quoted: key)
    bytes.append(UInt8(ascii: ":"))
  }
  private mutating func put(quoted text: StaticString) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.description.utf8 { bytes.append(byte) }
    bytes.append(UInt8(ascii: "\""))
  }
  mutating func put(_ key: StaticString, plain value: StaticString) {
    putKey(key)
    put(quoted: value)
  }
  mutating func put(_ key: StaticString, _ value: String?) {
    guard let value else { return }
    putKey(key)
    JSONObject.append(quoted: value, to: &bytes)
  }
  mutating func put(_ key: StaticString, _ value: Int64?) {
    guard let value else { return }
    putKey(key)
    for byte in String(value).utf8 { bytes.append(byte) }
  }
  /// JSON has no infinities: such a value is left out.
  mutating func put(_ key: StaticString, _ value: Double?) {
    guard let value, value.isFinite else { return }
    putKey(key)
    for byte in "\(value)".utf8 { bytes.append(byte) }
  }
  mutating func put(_ key: StaticString, _ value: JSONObject?) {
    guard let value, !value.isEmpty else { return }
    putKey(key)
    bytes += value.bytes
  }
  mutating func put(_ key: StaticString, hex value: UInt64?) {
    guard let value else { return }
    putKey(key)
    bytes.append(UInt8(ascii: "\""))
    putHex(value)
    bytes.append(UInt8(ascii: "\""))
  }
  private mutating func putHex(_ value: UInt64) {
    for shift in stride(from: UInt64(60), through: 0, by: -4) {
      let digit = UInt8(value >> shift & 15)
      bytes.append(digit < 10 ? 48 + digit : 87 + digit)
    }
  }
  mutating func put(trace: TraceID?, span: UInt64?) {
    if let trace {
      putKey("trace")
      bytes.append(UInt8(ascii: "\""))
      putHex(trace.high)
      putHex(trace.low)
      bytes.append(UInt8(ascii: "\""))
    }
    put("span", hex: span)
  }

  mutating func put(_ queue: Record.Queue) {
    put("queue", queue.queue)
    put("depth", queue.depth)
    put("enqueued", queue.enqueued)
    put("dequeued", queue.dequeued)
    put("capacity", queue.capacity)
    put("oldest_ms", queue.oldestMilliseconds)
  }
  mutating func put(_ step: Record.Step) {
    put("txn", step.transaction)
    put("step", step.step)
    put("status", step.status)
    put("elapsed_us", step.elapsedMicroseconds)
    put("attrs", step.attributes)
  }
  mutating func put(_ job: Record.Job) {
    put("job", job.job)
    put("duration_us", job.durationMicroseconds)
    put("status", job.status)
    put("txn", job.transaction)
    put("cpu_us", job.cpuMicroseconds)
    put("sql_us", job.sqlMicroseconds)
    put(trace: job.trace, span: job.span)
    put("attrs", job.attributes)
  }
  mutating func put(_ process: Record.Process) {
    put("process", process.process)
    put("state", process.state)
    put("pid", process.pid)
    put("up_ms", process.upMilliseconds)
    put("restarts", process.restarts)
    put("cpu", process.cpu)
    put("memory", process.memory)
    put("threads", process.threads)
    put("attrs", process.attributes)
  }
  mutating func put(_ web: Record.Web) {
    put("method", web.method)
    put("path", web.path)
    put("code", Int64(web.code))
    put("bytes", web.bytes)
    put("duration_us", web.durationMicroseconds)
    put("client", web.client)
    put("session", web.session)
    put("referrer", web.referrer)
    put("agent", web.agent)
    put("attrs", web.attributes)
  }
  mutating func put(_ span: Record.Span) {
    put(trace: span.trace, span: span.span)
    put("parent", hex: span.parent)
    put("name", span.name)
    switch span.kind {
    case .unspecified: break
    case .internal: put("kind", plain: "internal")
    case .server: put("kind", plain: "server")
    case .client: put("kind", plain: "client")
    case .producer: put("kind", plain: "producer")
    case .consumer: put("kind", plain: "consumer")
    }
    put("duration_us", span.durationMicroseconds)
    put("status", span.status)
    put("attrs", span.attributes)
  }
  consuming func finish() -> [UInt8] {
    bytes.append(UInt8(ascii: "}"))
    bytes.append(0x0a)
    return bytes
  }
}
