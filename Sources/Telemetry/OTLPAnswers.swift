// What a receiver of OTLP/HTTP answers: the body of the response in the encoding of its request.

/// Bodies of answers (OTLP specification, "OTLP/HTTP Response").
public enum OTLPAnswers {
  /// Codes of google.rpc.Status.
  public enum Code: UInt64, Sendable {
    case invalidArgument = 3
    case permissionDenied = 7
    case resourceExhausted = 8
    case unavailable = 14
    case unauthenticated = 16
  }

  /// Everything is stored, except for `refused` items: `ExportLogsServiceResponse` and its like.
  public static func stored(
    _ signal: OTLPSignal, _ encoding: OTLPEncoding, refused: Int, reason: String?
  ) -> [UInt8] {
    let isWhole = refused == 0
    switch encoding {
    case .protobuf:
      var answer = WireWriter()
      if isWhole { return answer.bytes }
      let start = answer.begin(1)
      answer.varint(1, UInt64(refused))
      answer.text(2, reason ?? "refused")
      answer.end(start)
      return answer.bytes
    case .json:
      var answer = JSONObject()
      if isWhole { return answer.bytes }
      var partial = JSONObject()
      // 64-bit numbers are strings in the JSON of Protocol Buffers.
      partial.add(rejectedName(signal), String(refused))
      partial.add("errorMessage", reason ?? "refused")
      answer.add("partialSuccess", partial)
      return answer.bytes
    }
  }
  private static func rejectedName(_ signal: OTLPSignal) -> String {
    switch signal {
    case .logs: "rejectedLogRecords"
    case .metrics: "rejectedDataPoints"
    case .traces: "rejectedSpans"
    }
  }

  /// google.rpc.Status: nothing is stored.
  public static func status(_ code: Code, _ message: String, _ encoding: OTLPEncoding) -> [UInt8] {
    switch encoding {
    case .protobuf:
      var answer = WireWriter()
      answer.varint(1, code.rawValue)
      answer.text(2, message)
      return answer.bytes
    case .json:
      var answer = JSONObject()
      answer.add("code", Int64(code.rawValue))
      answer.add("message", message)
      return answer.bytes
    }
  }
}
