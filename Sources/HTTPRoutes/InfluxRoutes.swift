// Influx over HTTP: the write paths of versions 1 and 2, and what their clients ask before they write.
internal import HTTPServer
internal import Platform
internal import TLS
internal import Telemetry

enum InfluxRoutes {
  static let all: [IngestRoute] =
    [
      IngestRoute(
        method: "POST", path: "/write", kind: "influx-v1",
        failed: { fault, _ in Version.one.failure(fault) }, decode: { decode($0, .one) }),
      IngestRoute(
        method: "POST", path: "/api/v2/write", kind: "influx-v2",
        failed: { fault, _ in Version.two.failure(fault) }, decode: { decode($0, .two) }),
      IngestRoute(
        method: "POST", path: "/query", kind: "influx-query", needsToken: false,
        failed: { fault, _ in Version.one.failure(fault) },
        decode: query),
    ]
    + ["GET", "HEAD"].flatMap { method in
      [
        IngestRoute(
          method: method, path: "/ping", kind: "influx-ping", needsToken: false,
          decode: { _ in .answer(HTTPAnswer(status: 204, headers: headers, body: [])) }),
        IngestRoute(
          method: method, path: "/health", kind: "influx-health", needsToken: false,
          failed: { fault, _ in unhealthy(fault) },
          decode: { _ in .answer(json(200, health("pass", "ready for writes"))) }),
      ]
    }

  /// What every answer of an InfluxDB has, and clients look at.
  private static let headers = [
    HTTPHeader("X-Influxdb-Version", "standwatch-\(standwatchVersion)"), HTTPHeader("X-Influxdb-Build", "OSS"),
  ]

  /// Errors are told in each version's own form.
  private enum Version: Sendable {
    case one, two

    func error(_ status: Int, _ code: String, _ message: String, more: [HTTPHeader] = []) -> HTTPAnswer {
      var object = JSONObject()
      switch self {
      case .one:
        object.add("error", message)
        let header = String(message.unicodeScalars.filter { $0.isASCII && $0.value >= 0x20 && $0.value < 0x7f })
        return json(status, object, more: more + [HTTPHeader("X-Influxdb-Error", header)])
      case .two:
        object.add("code", code)
        object.add("message", message)
        return json(status, object, more: more + [HTTPHeader("X-Platform-Error-Code", code)])
      }
    }
    func failure(_ fault: RouteFault) -> HTTPAnswer {
      let code: String
      switch fault {
      case .unavailable, .quarantined: code = "unavailable"
      case .overShare: code = "too many requests"
      case .tooLarge: code = "request too large"
      case .malformed: code = "invalid"
      case .unknownEncoding: code = "unsupported media type"
      case .token(.otherSource): code = "forbidden"
      case .token(.unreadable): code = "unavailable"
      case .token: code = "unauthorized"
      }
      return error(fault.status, code, fault.text("points"), more: fault.headers)
    }
  }

  private static func decode(_ body: HTTPBody, _ version: Version) -> RouteDecision {
    let place: String
    switch version {
    case .one:
      place = body.query["db"] ?? ""
      if place.isEmpty { return .answer(version.error(400, "invalid", "database is required")) }
    case .two:
      place = body.query["bucket"] ?? ""
      if place.isEmpty { return .answer(version.error(400, "invalid", "bucket is required")) }
    }
    guard place.utf8.count <= 200, place.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
      return .answer(version.error(400, "invalid", "the name of the database or bucket has to have 1 to 200 bytes"))
    }
    let unit = body.query["precision"] ?? ""
    guard let precision = InfluxPrecision(unit) else {
      return .answer(version.error(400, "invalid", "precision has to be one of ns, us, ms, s, m, h"))
    }
    var context = InfluxContext(database: place, peer: body.peer, now: body.now, maxRecords: body.limits.records)
    context.precision = precision
    let write = InfluxWrite(body.bytes, context)
    if write.isTooLarge {
      let message = "more than \(body.limits.records) fields, or too many labels, in one request: send smaller batches"
      return .answer(version.error(413, "request too large", message))
    }
    // A point without a time would be another one the next time: only then may the same bytes be stored again.
    let key = write.isTimed ? sha256(Array("\(place)\n\(precision)\n".utf8) + body.bytes) : nil
    let refused = write.faults.count
    let first = write.faults.first.map { "line \($0.line): \($0.kind.text)" }
    let records = write.records.count
    return .deliver(write.delivery(key: key, source: body.source)) { outcome in
      answer(outcome, version, refused: refused, firstFault: first, records: records)
    }
  }

  private static func answer(
    _ outcome: DeliveryOutcome, _ version: Version, refused: Int, firstFault: String?, records: Int
  ) -> HTTPAnswer {
    switch outcome {
    case .unavailable(let seconds): return version.failure(.unavailable(retryAfterSeconds: seconds))
    case .overShare(let seconds): return version.failure(.overShare(retryAfterSeconds: seconds))
    case .refused(let reason): return version.error(400, "invalid", reason)
    case .stored(_, let rejects):
      let later = rejects.filter { $0.index < records }
      guard let reason = firstFault ?? later.first?.reason else {
        return HTTPAnswer(status: 204, headers: headers, body: [])
      }
      // What is good is stored; a client must not send it all again, and none does after a 400.
      return version.error(400, "invalid", "partial write: \(reason) dropped=\(refused + later.count)")
    }
  }

  /// Telegraf creates its database before it writes; there is none here, and so nothing to do.
  private static func query(_ body: HTTPBody) -> RouteDecision {
    let form = String(decoding: body.bytes.prefix(1000), as: UTF8.self)
    let asked = (body.query["q"] ?? String(form.split(separator: "&").first { $0.hasPrefix("q=") }?.dropFirst(2) ?? ""))
      .uppercased().split { $0 == "+" || $0 == " " || $0 == "%" }
    // "CREATE%20DATABASE" leaves "20DATABASE".
    guard asked.count > 1, asked[0] == "CREATE", asked[1].hasSuffix("DATABASE") else {
      return .answer(Version.one.error(400, "invalid", "questions are asked in SQL, of PostgreSQL"))
    }
    return .answer(
      HTTPAnswer(
        status: 200, type: "application/json", headers: headers,
        body: Array(#"{"results":[{"statement_id":0}]}"#.utf8)))
  }

  private static func unhealthy(_ fault: RouteFault) -> HTTPAnswer {
    switch fault {
    case .unavailable, .overShare, .quarantined:
      json(
        fault.status, health("fail", "not the active node, or it can't take records now"), more: fault.headers)
    case .tooLarge, .malformed, .unknownEncoding, .token:
      json(fault.status, health("fail", fault.text()), more: fault.headers)
    }
  }
  private static func health(_ status: String, _ message: String) -> JSONObject {
    var object = JSONObject()
    object.add("name", "influxdb")
    object.add("message", message)
    object.add("status", status)
    object.add("checks", checked: Array("[]".utf8))
    object.add("version", "standwatch-\(standwatchVersion)")
    return object
  }
  private static func json(_ status: Int, _ object: JSONObject, more: [HTTPHeader] = []) -> HTTPAnswer {
    HTTPAnswer(status: status, type: "application/json", headers: headers + more, body: object.bytes)
  }
}
