// Bodies of HTTP requests, as their routes take them: the first bytes choose route, type and query.
internal import HTTPRoutes
internal import HTTPServer
@testable import Telemetry

private let types = [
  "", "application/x-ndjson", "application/json", "application/x-protobuf", "text/plain; charset=utf-8", "image/png",
]
private let queries: [[String: String]] = [
  ["db": "d", "bucket": "b"], ["db": "d", "bucket": "b", "precision": "s"], ["db": "\u{1}", "precision": "x"], [:],
]

extension FuzzedDecoders {
  static let httpBody = FuzzedDecoder(name: "http-body", words: ["SHOW DATABASES", "q=", "{\"type\":\"event\","]) {
    bytes throws(Broken) in
    guard bytes.count >= 4 else { return }
    let route = IngestRoutes.all[Int(bytes[0]) % IngestRoutes.all.count]
    var headers = ["content-type": types[Int(bytes[1]) % types.count]]
    if bytes[3] & 1 == 1 { headers["idempotency-key"] = String(repeating: "k", count: Int(bytes[3])) }
    let body = HTTPBody(
      method: route.method, path: route.path, query: queries[Int(bytes[2]) % queries.count], headers: headers,
      peer: "192.0.2.9", bytes: Array(bytes.dropFirst(4)), limits: DeliveryLimits(), now: nine)
    let decision = try Meter.bounded(bytes.count, each: 320) { route.decode(body) }
    switch decision {
    case .answer(let answer): try holdAnswer(answer, route)
    case .deliver(let delivery, let answer):
      try hold((1...200).contains(delivery.key?.count ?? 1), "a key of \(delivery.key?.count ?? 0) bytes")
      let rows = try check(delivery)
      try hold(rows.count == min(delivery.count, rows.count), "\(delivery.count) records are \(rows.count) rows")
      let last = delivery.count - 1
      let outcomes: [DeliveryOutcome] = [
        .stored(isDuplicate: false, rejects: []), .stored(isDuplicate: true, rejects: []),
        .stored(isDuplicate: false, rejects: last < 0 ? [] : [DeliveryReject(index: last, reason: "\"r\"\n")]),
        .unavailable(retryAfterSeconds: 0), .overShare(retryAfterSeconds: 1), .refused(reason: "no"),
      ]
      for outcome in outcomes { try holdAnswer(answer(outcome), route) }
    }
  }
  private static func holdAnswer(_ answer: HTTPAnswer, _ route: IngestRoute) throws(Broken) {
    try hold((200...599).contains(answer.status), "\(route.path) answers \(answer.status)")
    for header in answer.headers {
      let isPlain = (header.name + header.value).utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
      try hold(isPlain, "\(route.path) answers with \(header)")
    }
    if answer.type == "application/json", !answer.body.isEmpty {
      var json = JSONB(answer.body)
      try json.check("the answer of \(route.path)")
    }
  }
}
