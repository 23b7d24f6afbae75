// A map that has the fields of one of our record types, by the names of the native protocol, becomes that record.
//
// Only where everything fits: `type` names one, each of its fields is there with the right kind of value, and there is
// no other. What nearly fits stays a log line with all it has: nothing is dropped, nothing is guessed.

enum NativeForm {
  static func record(_ given: RecordMembers, time: Int64, origin: ForwardOrigin) -> Record? {
    guard let type = given.look("type", \.asText) else { return nil }
    var members = given
    members.removeNulls()
    _ = members.take(["type"], \.asText)
    guard let body = body(type, &members) else { return nil }
    let host = members.take(["host"], \.asName) ?? origin.host
    let app = members.take(["app"], \.asName) ?? Record.name(origin.tag)
    // `ts` would be a second time; a sender that has one is not speaking to us.
    return members.isEmpty ? Record(time: time, host: host, app: app, body) : nil
  }

  private static func body(_ type: String, _ members: inout RecordMembers) -> Record.Body? {
    switch type {
    case "queue": queue(&members)
    case "step": step(&members)
    case "job": job(&members)
    case "metric": metric(&members)
    case "process": process(&members)
    case "log": log(&members)
    case "web": web(&members)
    case "span": span(&members)
    case "event": event(&members)
    default: nil
    }
  }

  private static func queue(_ members: inout RecordMembers) -> Record.Body? {
    guard let queue = members.take(["queue"], \.asName), let depth = members.take(["depth"], \.asCount) else {
      return nil
    }
    var body = Record.Queue(queue: queue, depth: depth)
    body.enqueued = members.take(["enqueued"], \.asCount)
    body.dequeued = members.take(["dequeued"], \.asCount)
    body.capacity = members.take(["capacity"], \.asCount)
    body.oldestMilliseconds = members.take(["oldest_ms"], \.asCount)
    return .queue(body)
  }
  private static func step(_ members: inout RecordMembers) -> Record.Body? {
    guard let transaction = members.take(["txn"], \.asText), let step = members.take(["step"], \.asName),
      let status = members.take(["status"], \.asName)
    else { return nil }
    var body = Record.Step(transaction: transaction, step: step, status: status)
    body.elapsedMicroseconds = members.take(["elapsed_us"], \.asCount)
    body.attributes = members.take(["attrs"], \.asObject)
    return .step(body)
  }
  private static func job(_ members: inout RecordMembers) -> Record.Body? {
    guard let job = members.take(["job"], \.asName), let duration = members.take(["duration_us"], \.asCount),
      let status = members.take(["status"], \.asName)
    else { return nil }
    var body = Record.Job(job: job, durationMicroseconds: duration, status: status)
    body.transaction = members.take(["txn"], \.asText)
    body.cpuMicroseconds = members.take(["cpu_us"], \.asCount)
    body.sqlMicroseconds = members.take(["sql_us"], \.asCount)
    body.trace = members.take(["trace"], \.asTrace)
    body.span = members.take(["span"], \.asSpan)
    body.attributes = members.take(["attrs"], \.asObject)
    return .job(body)
  }
  private static func metric(_ members: inout RecordMembers) -> Record.Body? {
    guard let name = members.take(["name"], \.asName), let value = members.take(["value"], \.asDouble) else {
      return nil
    }
    return .metric(Record.Metric(name: name, value: value, labels: members.take(["labels"], \.asObject)))
  }
  private static func process(_ members: inout RecordMembers) -> Record.Body? {
    guard let process = members.take(["process"], \.asName), let state = members.take(["state"], \.asName) else {
      return nil
    }
    var body = Record.Process(process: process, state: state)
    body.pid = members.take(["pid"], \.asCount)
    body.upMilliseconds = members.take(["up_ms"], \.asCount)
    body.restarts = members.take(["restarts"], \.asCount)
    body.cpu = members.take(["cpu"], \.asDouble)
    body.memory = members.take(["memory"], \.asCount)
    body.threads = members.take(["threads"], \.asCount)
    body.attributes = members.take(["attrs"], \.asObject)
    return .process(body)
  }
  private static func log(_ members: inout RecordMembers) -> Record.Body? {
    guard let severity = members.take(["severity"], \.asSeverity), let message = members.take(["message"], \.asText),
      message.utf8.count <= RecordMembers.mostMessageBytes, !message.utf8.contains(0)
    else { return nil }
    var body = Record.Log(severity: severity, message: message)
    body.trace = members.take(["trace"], \.asTrace)
    body.span = members.take(["span"], \.asSpan)
    body.attributes = members.take(["attrs"], \.asObject)
    return .log(body)
  }
  private static func web(_ members: inout RecordMembers) -> Record.Body? {
    guard let method = members.take(["method"], \.asText), let path = members.take(["path"], \.asText),
      let code = members.take(["code"], \.asCount), (100...599).contains(code)
    else { return nil }
    var body = Record.Web(method: method, path: path, code: Int(code))
    body.bytes = members.take(["bytes"], \.asCount)
    body.durationMicroseconds = members.take(["duration_us"], \.asCount)
    body.client = members.take(["client"], \.asText)
    body.session = members.take(["session"], \.asText)
    body.referrer = members.take(["referrer"], \.asText)
    body.agent = members.take(["agent"], \.asText)
    body.attributes = members.take(["attrs"], \.asObject)
    return .web(body)
  }
  private static func span(_ members: inout RecordMembers) -> Record.Body? {
    guard let trace = members.take(["trace"], \.asTrace), let span = members.take(["span"], \.asSpan),
      let name = members.take(["name"], \.asName), let duration = members.take(["duration_us"], \.asCount),
      let status = members.take(["status"], \.asName)
    else { return nil }
    var body = Record.Span(trace: trace, span: span, name: name, durationMicroseconds: duration, status: status)
    body.parent = members.take(["parent"], \.asSpan)
    let kind = members.take(["kind"]) { value in
      Record.Span.Kind.allCases.first { "\($0)" == value.asText }
    }
    body.kind = kind ?? .unspecified
    body.attributes = members.take(["attrs"], \.asObject)
    return .span(body)
  }
  private static func event(_ members: inout RecordMembers) -> Record.Body? {
    guard let kind = members.take(["kind"], \.asName) else { return nil }
    return .event(Record.Event(kind: kind, attributes: members.take(["attrs"], \.asObject)))
  }
}
