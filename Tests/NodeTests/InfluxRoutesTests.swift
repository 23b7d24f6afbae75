// The HTTP paths of Influx: what they decide, and how they answer clients of both versions.
import HTTPRoutes
import HTTPServer
import Telemetry
import Testing

@testable import Node

private func body(_ path: String, _ text: String, _ query: [String: String]) -> HTTPBody {
  HTTPBody(
    method: "POST", path: path, query: query, headers: [:], peer: "192.0.2.9", bytes: Array(text.utf8),
    limits: DeliveryLimits(), now: 848_480_400_000_000)
}
private func decide(_ path: String, _ text: String, _ query: [String: String], method: String = "POST") throws
  -> RouteDecision
{
  let route: IngestRoute = try #require(IngestRoutes.find(method, path))
  return route.decode(body(path, text, query))
}
private func delivery(_ path: String, _ text: String, _ query: [String: String]) throws -> (
  Delivery, @Sendable (DeliveryOutcome) -> HTTPAnswer
) {
  guard case .deliver(let delivery, let answer) = try decide(path, text, query) else {
    throw TestTimeout(what: "a delivery")
  }
  return (delivery, answer)
}
private func immediate(_ path: String, _ text: String, _ query: [String: String], method: String = "POST") throws
  -> HTTPAnswer
{
  guard case .answer(let answer) = try decide(path, text, query, method: method) else {
    throw TestTimeout(what: "an answer")
  }
  return answer
}
private func text(_ answer: HTTPAnswer) -> String { String(decoding: answer.body, as: UTF8.self) }

@Suite struct `Influx over HTTP` {
  let stored = DeliveryOutcome.stored(isDuplicate: false, rejects: [])

  @Test func `a body whose points carry times has a key of its bytes, its database and its unit`() throws {
    let timed = "m f=1 1795165200\nm f=2 1795165201\n"
    let (one, _) = try delivery("/write", timed, ["db": "d", "precision": "s"])
    #expect(one.records.count == 2 && one.records.first?.app == "d" && one.records.first?.host == "192.0.2.9")
    #expect(one.key?.count == 32 && one.source == "192.0.2.9")
    #expect(try delivery("/write", timed, ["db": "d", "precision": "s"]).0 == one)
    #expect(try delivery("/write", timed, ["db": "e", "precision": "s"]).0.key != one.key)
    #expect(try delivery("/write", timed, ["db": "d", "precision": "ms"]).0.key != one.key)
    #expect(try delivery("/write", timed + "m f=3", ["db": "d", "precision": "s"]).0.key == nil)
    let (two, _) = try delivery("/api/v2/write", timed, ["bucket": "d", "org": "o", "precision": "s"])
    #expect(two.records == one.records)
  }

  @Test func `what is stored is answered with 204, in part with 400, later with 503, in each version's form`() throws {
    let good = "m f=1 1"
    let partly = "m f=1 1\nbad\nm f=2 2\nworse"
    for (path, query, kind) in [("/write", ["db": "d"], "error"), ("/api/v2/write", ["bucket": "d"], "message")] {
      let answer = try delivery(path, good, query).1
      #expect(answer(stored).status == 204 && answer(stored).body.isEmpty)
      let late = answer(.unavailable(retryAfterSeconds: 3))
      #expect(late.status == 503 && late.headers.contains(HTTPHeader("Retry-After", "3")))
      let throttled = answer(.overShare(retryAfterSeconds: 2))
      #expect(throttled.status == 429 && throttled.headers.contains(HTTPHeader("Retry-After", "2")))
      #expect(answer(.refused(reason: "too many")).status == 400)
      let (some, partial) = try delivery(path, partly, query)
      #expect(
        some.records.count == 2 && some.faults.map { String(decoding: $0.raw, as: UTF8.self) } == ["bad", "worse"])
      let found = partial(stored)
      #expect(found.status == 400 && found.type == "application/json")
      #expect(text(found).contains("\"\(kind)\":\"partial write: line 2: missing fields dropped=2\""), "\(text(found))")
      let refusedLater = answer(.stored(isDuplicate: false, rejects: [DeliveryReject(index: 0, reason: "too old")]))
      #expect(refusedLater.status == 400 && text(refusedLater).contains("too old dropped=1"))
    }
    let one = try delivery("/write", partly, ["db": "d"]).1(stored)
    #expect(one.headers.contains(HTTPHeader("X-Influxdb-Error", "partial write: line 2: missing fields dropped=2")))
    #expect(text(try delivery("/api/v2/write", partly, ["bucket": "d"]).1(stored)).hasPrefix(#"{"code":"invalid","#))
  }

  @Test func `requests that can't be read are refused with the reason`() throws {
    #expect(try text(immediate("/write", "m f=1", [:])) == #"{"error":"database is required"}"#)
    #expect(
      try text(immediate("/api/v2/write", "m f=1", ["org": "o"]))
        == #"{"code":"invalid","message":"bucket is required"}"#)
    for query in [["db": "d", "precision": "weeks"], ["db": String(repeating: "d", count: 201)], ["db": "a\nb"]] {
      let answer = try immediate("/write", "m f=1", query)
      #expect(answer.status == 400 && answer.headers.contains { $0.name == "X-Influxdb-Error" && !$0.value.isEmpty })
    }
    let many = String(repeating: "m a=1,b=2,c=3,d=4\n", count: 20_000)
    #expect(try immediate("/write", many, ["db": "d"]).status == 413)
    #expect(try text(immediate("/api/v2/write", many, ["bucket": "d"])).hasPrefix(#"{"code":"request too large""#))
  }

  @Test func `clients find what they look for before they write`() throws {
    let ping = try immediate("/ping", "", [:], method: "GET")
    #expect(ping.status == 204 && ping.headers.contains { $0.name == "X-Influxdb-Version" })
    #expect(try immediate("/ping", "", [:], method: "HEAD").status == 204)
    #expect(try text(immediate("/health", "", [:], method: "GET")).contains(#""status":"pass""#))
    #expect(IngestRoutes.find("GET", "/health")?.failed(.unavailable(retryAfterSeconds: 1), "").status == 503)
    #expect(try immediate("/query", "q=CREATE+DATABASE+%22telegraf%22", [:]).status == 200)
    #expect(try immediate("/query", "", ["q": "create database \"x\""]).status == 200)
    for q in ["", "q=", "q=DROP+DATABASE+x", "q=SELECT+1", "q=CREATE", "x=CREATE+DATABASE"] {
      #expect(try immediate("/query", q, [:]).status == 400, "\(q)")
    }
  }
}
