// Patterns of log messages: what is masked, what stays, and that nobody's messages fill the dictionary.
import Chance
@testable import Telemetry
import Testing

private func pattern(_ message: [UInt8]) -> [UInt8] {
  let padded = message + Array(repeating: 0x0a, count: padding)
  var pattern = LogPattern()
  // Sound: bytes of UInt8 have no padding.
  unsafe pattern.make(padded.span.bytes, 0, message.count)
  return Array(pattern.bytes[0..<pattern.count])
}
private func pattern(_ message: String) -> String { String(decoding: pattern(Array(message.utf8)), as: UTF8.self) }

@Test func `messages of one kind have one pattern`() {
  let cases: [(String, String)] = [
    ("worker 3 finished its round of 117 lots", "worker * finished its round of * lots"),
    ("Accepted publickey for root from 10.0.0.7 port 51234 ssh2", "Accepted publickey for root from * port * ssh*"),
    ("GET /lots/1234/steps/5 took 12.5ms", "GET /lots/*/steps/* took *ms"),
    ("2026-11-20 09:00:00,123 ERROR [pool-3] x", "* * ERROR [pool-*] x"),
    ("request f47ac10b-58cc-4372-a567-0e02b2c3d479 failed", "request * failed"),
    ("request f47ac10b-abcd-4372-a567-0e02b2c3d479 failed", "request * failed"),
    ("user 'kim' not found", "user * not found"), (#"open "C:\a b": denied"#, "open *: denied"),
    ("can't open it, won't try", "can't open it, won't try"), ("it's 'so", "it's 'so"),
    ("address 0xDEADbeef at 0x1f", "address * at *"), ("commit deadbeef", "commit *"),
    ("a cafe facade", "a cafe facade"),
    ("LOT-123-A of EQP12", "LOT-*-A of EQP*"), ("eth0: link up", "eth*: link up"), ("a  b\tc\u{1}d ", "a b c d"),
    ("first line\nsecond line", "first line"), ("\n\n", "(empty)"), ("", "(empty)"), ("7", "*"),
    ("로트 12 완료", "로트 * 완료"),
    ("[2001:db8::1]:443", "[*:db*::*]:*"), ("1.2.3.4 - - 5", "* - - *"),
  ]
  for (message, expected) in cases { #expect(pattern(message) == expected, "\(message)") }
}

@Test func `a pattern has at most 200 bytes, and ends between characters`() {
  for prefix in 0...4 {
    let found = pattern(String(repeating: "x", count: prefix) + String(repeating: "한", count: 300))
    #expect(found.utf8.count <= 200 && found.utf8.count >= 198)
    #expect(found.allSatisfy { $0 == "x" || $0 == "한" })
  }
  #expect(pattern(String(repeating: "word ", count: 100)).utf8.count == 199)
  var random = SplitMix64(seed: 12)
  for _ in 0..<5000 {
    let bytes = (0..<Int.random(in: 0...500, using: &random)).map { _ in
      Array("a1'\" .:-/,\nxé".utf8).randomElement(using: &random) ?? 0
    }
    let found = pattern(bytes)
    #expect((1...200).contains(found.count) && found.allSatisfy { $0 >= 0x20 })
  }
}

@Test func `whoever logs ever new words gets other for a pattern before the dictionary is full of them`() throws {
  var names = Names(capacityLog2: 16)
  var batch = Batch()
  let window = TimeWindow(from: .min, until: .max)
  // Letters that no hexadecimal number has.
  let letters = Array("ghijklmnopqrstuvwxyz")
  func word(_ number: Int) -> String {
    String([letters[number / 8000 % 20], letters[number / 400 % 20], letters[number / 20 % 20], letters[number % 20]])
  }
  var taken: Set<String> = []
  for number in 0..<9000 {
    let record = Record(time: nine, host: "h", app: "a", .log(.init(severity: 6, message: "zz " + word(number))))
    #expect(batch.add(record, stream: Batch.noStream, seq: 0, names: &names, window: window, source: "s") == .taken)
  }
  let found = try Contents(batch)
  for row in found[.log] { taken.insert(found.name(.pattern, row["pattern_id"]) ?? "?") }
  #expect(found[.log].count == 9000)
  #expect(taken.contains("(other)") && taken.count <= Names.mostPatternsAtOnce + 1 && !taken.contains("?"))
  #expect(found.name(.pattern, found[.log][8999]["pattern_id"]) == "(other)")
  names.allowPatterns(1)
  batch.removeAll()
  for message in ["quite new", "newer still", "zz " + word(5)] {
    let record = Record(time: nine, host: "h", app: "a", .log(.init(severity: 6, message: message)))
    _ = batch.add(record, stream: Batch.noStream, seq: 0, names: &names, window: window, source: "s")
  }
  let again = try Contents(batch)
  let ids = again[.log].map { $0["pattern_id"] ?? "" }
  #expect(again.name(.pattern, ids[0]) == "quite new")
  #expect(
    ids[1] == "\(NameHash.id(of: Array("(other)".utf8)))"
      && ids[2] == "\(NameHash.id(of: Array(("zz " + word(5)).utf8)))")
}
