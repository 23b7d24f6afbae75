// Truncated, mutated and random requests of OTLP never trap, and what is taken has the form that PostgreSQL reads.
import Chance
@testable import Telemetry
import Testing

private let examples = [(logsExample, OTLPSignal.logs), (metricsExample, .metrics), (tracesExample, .traces)]

/// Decodes, and checks what was taken; how many records that was.
private func take(_ bytes: [UInt8], _ signal: OTLPSignal, _ encoding: OTLPEncoding) -> Int {
  let found: OTLPDecoded
  do throws(OTLPFault) {
    found = try OTLPDecoder.decode(bytes, signal, encoding, client: "192.0.2.9", now: nine)
  } catch {
    #expect(!error.text.isEmpty)
    return 0
  }
  #expect(found.items.count == found.records.count)
  for record in found.records {
    #expect((1...200).contains(record.host.utf8.count) && (1...200).contains(record.app.utf8.count))
    switch record.body {
    case .log(let log):
      #expect((0...7).contains(log.severity) && !log.message.utf8.contains(0))
      check(log.attributes)
    case .metric(let metric):
      #expect((1...200).contains(metric.name.utf8.count) && metric.value.isFinite)
      check(metric.labels)
    case .span(let span):
      #expect((1...200).contains(span.name.utf8.count) && span.durationMicroseconds >= 0)
      check(span.attributes)
    case .queue, .step, .job, .process, .web, .event: Issue.record("no record of OTLP")
    }
  }
  return found.records.count
}
/// Whatever passes here is accepted by jsonb.
private func check(_ object: JSONObject?) {
  guard let object else { return }
  let padded = object.bytes + Array(repeating: 0x0a, count: padding)
  var at = 0
  // Sound: bytes of UInt8 have no padding.
  let bytes = unsafe padded.span.bytes
  do throws(FaultKind) { try skipObject(bytes, &at) } catch {
    #expect(error == .tooDeep, "\(String(decoding: object.bytes, as: UTF8.self))")
    return
  }
  #expect(at == object.count)
}

private func mutate(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
  var bytes = bytes
  for _ in 0..<Int.random(in: 1...4, using: &random) {
    let at = Int.random(in: 0..<max(bytes.count, 1), using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0 where !bytes.isEmpty: bytes[at] = UInt8.random(in: 0...255, using: &random)
    case 1 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 2 where !bytes.isEmpty: bytes.removeSubrange(at..<min(at + Int.random(in: 1...9, using: &random), bytes.count))
    case 3: bytes.insert([0, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b].randomElement(using: &random) ?? 0, at: at)
    default: bytes.insert(contentsOf: bytes[min(at, bytes.count)...].prefix(12), at: min(at, bytes.count))
    }
  }
  return bytes
}

@Test func `requests cut at any byte never trap`() {
  for (example, signal) in examples {
    for count in 0..<example.bytes.count { _ = take(Array(example.bytes.prefix(count)), signal, .protobuf) }
    let json = Array(example.json.utf8)
    for count in 0..<json.count { #expect(take(Array(json.prefix(count)), signal, .json) == 0) }
  }
}

@Test func `mutated requests never trap and never leave a malformed record`() {
  var random = SplitMix64(seed: 4318)
  var taken = 0
  for round in 0..<4000 {
    let (example, signal) = examples[round % 3]
    taken += take(mutate(example.bytes, &random), signal, .protobuf)
    taken += take(mutate(Array(example.json.utf8), &random), signal, .json)
    // The bytes of one signal at another one's path.
    taken += take(mutate(example.bytes, &random), examples[(round + 1) % 3].1, .protobuf)
  }
  #expect(taken > 1000)
}

@Test func `random bytes never trap the decoders of OTLP`() {
  var random = SplitMix64(seed: 4317)
  for round in 0..<5000 {
    let bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in
      round % 2 == 0 ? UInt8.random(in: 0...255, using: &random) : UInt8.random(in: 0...40, using: &random)
    }
    for signal in OTLPSignal.allCases {
      _ = take(bytes, signal, .protobuf)
      _ = take(bytes, signal, .json)
    }
  }
}
