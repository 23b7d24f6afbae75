// `POST /ingest`: lines of JSON, each a record of the native protocol without `seq`.
internal import HTTPServer
internal import Telemetry

let jsonLinesRoute = IngestRoute(
  method: "POST", path: "/ingest", kind: "http /ingest",
  failed: { fault, _ in jsonFailure(fault) },
  decode: decodeJSONLines)

/// What senders of lines of JSON call them; curl says the first two when it is not told.
private let types: Set<String> = [
  "", "application/x-www-form-urlencoded", "application/x-ndjson", "application/ndjson", "application/jsonl",
  "application/x-jsonlines", "application/json-lines", "application/jsonlines", "application/json", "text/plain",
  "application/octet-stream",
]
/// Reasons in an answer; the others are only counted.
private let mostReasons = 100

private func decodeJSONLines(_ body: HTTPBody) -> RouteDecision {
  guard types.contains(body.contentType) else {
    return .answer(jsonAnswer(415, #"{"error":"send lines of JSON as application/x-ndjson"}"#))
  }
  let key = body.headers["idempotency-key"]
  if let key, key.isEmpty || key.utf8.count > 200 {
    return .answer(jsonAnswer(400, #"{"error":"Idempotency-Key has to have 1 to 200 bytes"}"#))
  }
  guard let lines = NativeLines(body.bytes, limit: body.limits.records) else {
    return .answer(jsonAnswer(413, #"{"error":"more than \#(body.limits.records) lines: send them in parts"}"#))
  }
  var delivery = Delivery(key: key.map { Array($0.utf8) }, source: body.source, records: [])
  delivery.lines = lines
  if key != nil { delivery.digest = body.digest.prefix(8).reduce(0) { $0 << 8 | Int64($1) } }
  let numbers = lines.numbers
  return .deliver(delivery) { outcome in jsonAnswer(to: outcome, numbers) }
}

/// `numbers`: of each record, its line in the body.
private func jsonAnswer(to outcome: DeliveryOutcome, _ numbers: [Int32]) -> HTTPAnswer {
  switch outcome {
  case .stored(let isDuplicate, let rejects):
    let reasons = rejects.prefix(mostReasons).map { reject in
      let line = numbers.indices.contains(reject.index) ? Int(numbers[reject.index]) : 0
      return #"{"line":\#(line),"reason":\#(jsonText(reject.reason))}"#
    }
    let omitted = rejects.count > reasons.count ? #","reasons_omitted":\#(rejects.count - reasons.count)"# : ""
    let text =
      #"{"stored":\#(numbers.count - rejects.count),"rejected":\#(rejects.count),"duplicate":\#(isDuplicate),"#
      + #""rejects":[\#(reasons.joined(separator: ","))]\#(omitted)}"#
    return jsonAnswer(!numbers.isEmpty && rejects.count == numbers.count ? 400 : 200, text)
  case .unavailable(let seconds): return jsonFailure(.unavailable(retryAfterSeconds: seconds))
  case .overShare(let seconds): return jsonFailure(.overShare(retryAfterSeconds: seconds))
  case .refused(let reason):
    return jsonAnswer(reason == Delivery.keyConflict ? 422 : 400, #"{"error":\#(jsonText(reason))}"#)
  }
}
private func jsonFailure(_ fault: RouteFault) -> HTTPAnswer {
  jsonAnswer(fault.status, #"{"error":\#(jsonText(fault.text()))}"#, headers: fault.headers)
}
private func jsonAnswer(_ status: Int, _ json: String, headers: [HTTPHeader] = []) -> HTTPAnswer {
  HTTPAnswer(status: status, type: "application/json", headers: headers, body: Array((json + "\n").utf8))
}
