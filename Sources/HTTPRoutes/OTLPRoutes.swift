// `POST /v1/logs`, `/v1/metrics` and `/v1/traces`: OTLP/HTTP, in Protocol Buffers and in JSON.
//
// Status codes as the specification uses them: 400, 413 and 415 must not be retried, 429 and 503 should. What is stored in part
// is a success that tells how many items were refused.
internal import HTTPServer
internal import Telemetry

let otlpRoutes = OTLPSignal.allCases.map { signal in
  IngestRoute(
    method: "POST", path: "/v1/\(signal.rawValue)", kind: "otlp \(signal.rawValue)",
    // What is neither of both is answered as senders would send unless told otherwise.
    failed: { fault, type in otlpFailure(fault, OTLPEncoding(contentType: type) ?? .protobuf) },
    decode: { decodeOTLP($0, signal) })
}

private func decodeOTLP(_ body: HTTPBody, _ signal: OTLPSignal) -> RouteDecision {
  guard let encoding = OTLPEncoding(contentType: body.contentType) else {
    let text = "send application/x-protobuf or application/json"
    return .answer(otlpFailure(415, .invalidArgument, text, .json))
  }
  var limits = OTLPLimits()
  limits.records = body.limits.records
  let decoded: OTLPDecoded
  do throws(OTLPFault) {
    decoded = try OTLPDecoder.decode(body.bytes, signal, encoding, client: body.peer, now: body.now, limits: limits)
  } catch {
    switch error {
    case .wire, .json: return .answer(otlpFailure(400, .invalidArgument, error.text, encoding))
    case .tooMuch: return .answer(otlpFailure(413, .resourceExhausted, error.text, encoding))
    }
  }
  let answer = OTLPAnswer(signal: signal, encoding: encoding, decoded)
  // A request without telemetry is a success.
  if decoded.records.isEmpty && decoded.faults.isEmpty {
    return .answer(answer.to(.stored(isDuplicate: false, rejects: [])))
  }
  let delivery = Delivery(
    key: decoded.isTimed ? body.digest : nil, source: body.source, records: decoded.records, faults: decoded.faults)
  return .deliver(delivery, answer: answer.to)
}

/// What the answer needs of a request, without its records.
private struct OTLPAnswer: Sendable {
  var signal: OTLPSignal
  var encoding: OTLPEncoding
  private var decoded: OTLPDecoded

  init(signal: OTLPSignal, encoding: OTLPEncoding, _ decoded: OTLPDecoded) {
    (self.signal, self.encoding, self.decoded) = (signal, encoding, decoded)
    self.decoded.records = []
  }

  func to(_ outcome: DeliveryOutcome) -> HTTPAnswer {
    switch outcome {
    case .stored(_, let rejects):
      let (count, reason) = decoded.refused(with: rejects)
      return HTTPAnswer(
        status: 200, type: encoding.contentType,
        body: OTLPAnswers.stored(signal, encoding, refused: count, reason: reason))
    case .unavailable(let seconds): return otlpFailure(.unavailable(retryAfterSeconds: seconds), encoding)
    case .overShare(let seconds): return otlpFailure(.overShare(retryAfterSeconds: seconds), encoding)
    case .refused(let reason): return otlpFailure(400, .invalidArgument, reason, encoding)
    }
  }
}

private func otlpFailure(
  _ status: Int, _ code: OTLPAnswers.Code, _ text: String, _ encoding: OTLPEncoding, headers: [HTTPHeader] = []
) -> HTTPAnswer {
  HTTPAnswer(
    status: status, type: encoding.contentType, headers: headers, body: OTLPAnswers.status(code, text, encoding))
}
private func otlpFailure(_ fault: RouteFault, _ encoding: OTLPEncoding) -> HTTPAnswer {
  let code: OTLPAnswers.Code
  switch fault {
  case .unavailable, .quarantined: code = .unavailable
  case .overShare, .tooLarge: code = .resourceExhausted
  case .malformed, .unknownEncoding: code = .invalidArgument
  case .token(.otherSource): code = .permissionDenied
  case .token(.unreadable): code = .unavailable
  case .token: code = .unauthenticated
  }
  return otlpFailure(fault.status, code, fault.text(), encoding, headers: fault.headers)
}
