// Small decoders of bytes from others, on tens of thousands of inputs each that are nearly right: what the worker says to
// the guard, operators to a node, and senders in place of a token. The same inputs each time.
import Chance
import Platform
import Testing

@testable import Node

/// One to four changes of one of the seeds: bytes overwritten, put in, taken out, doubled, words of the format between.
private func mutations(of seeds: [[UInt8]], words: [String] = [], count: Int, _ body: ([UInt8]) throws -> Void) rethrows
{
  var dice = SplitMix64(seed: 0x5741_5443)
  for _ in 0..<count {
    var bytes = seeds.randomElement(using: &dice) ?? []
    for _ in 0..<Int.random(in: 1...4, using: &dice) {
      let at = Int.random(in: 0...bytes.count, using: &dice)
      let end = Int.random(in: at...bytes.count, using: &dice)
      switch Int.random(in: 0..<6, using: &dice) {
      case 0 where at < bytes.count: bytes[at] = .random(in: 0...255, using: &dice)
      case 1 where at < bytes.count: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
      case 2: bytes.insert(.random(in: 0...255, using: &dice), at: at)
      case 3: bytes.removeSubrange(at..<end)
      case 4: bytes.insert(contentsOf: Array(bytes[at..<end]), at: at)
      default: bytes.insert(contentsOf: Array((words.randomElement(using: &dice) ?? "").utf8), at: at)
      }
    }
    try body(bytes)
  }
}

@Test func `what the guard takes from a worker is printed and read again as the same, whatever bytes come`() throws {
  let seeds = [
    GuardRequest.alive, .ready, .state(.active, epoch: 12), .probe(operation: 1),
    .claim(operation: 2, lifetimeMilliseconds: 2000), .renew(operation: 3, lifetimeMilliseconds: 2000),
    .release(operation: 4), .status(operation: 5),
  ].map { $0.encoded(sent: BootInstant(nanoseconds: 77)) }
  var taken = 0
  try mutations(of: seeds, count: 100_000) { bytes in
    guard let found = GuardRequest.decoded(bytes) else { return }
    taken += 1
    let again = try #require(GuardRequest.decoded(found.request.encoded(sent: found.sent)))
    if again.request != found.request || again.sent != found.sent {
      Issue.record("\(bytes) is \(found), then \(again)")
    }
  }
  // Most lose their form; those that keep it are what this is about.
  #expect(taken > 5000, "\(taken) were requests")
}

@Test func `what a node takes from an operator is printed and read again as the same, whatever bytes come`() throws {
  let seeds = [
    OperatorRequest.status, .switchover(to: "b", timeoutMilliseconds: 10_000),
    .switchover(to: nil, timeoutMilliseconds: 500),
  ].map { $0.encoded() }
  let words = [
    "\"to\":", "null", "\"status\"", "\"switchover\"", "-1", "1e400", "99999999999999999999", "\\u0000", "\\ud800", "{",
    "[",
    ",\"request\":", "\u{feff}",
  ]
  var (taken, refused) = (0, 0)
  try mutations(of: seeds, words: words, count: 30_000) { bytes in
    let request: OperatorRequest
    do throws(OperatorRequestError) { request = try OperatorRequest(decoding: bytes) } catch {
      if error.description.isEmpty || error.description.utf8.count > 300 { Issue.record("it is said as \(error)") }
      return refused += 1
    }
    taken += 1
    let again = try OperatorRequest(decoding: request.encoded())
    if again != request { Issue.record("\(bytes) is \(request), then \(again)") }
    if case .switchover(let name, let timeout) = request {
      let isBounded = (100...120_000).contains(timeout) && (1...16).contains(name?.utf8.count ?? 1)
      if !isBounded { Issue.record("\(request) is out of bounds") }
    }
  }
  #expect(taken > 1000 && refused > 1000, "\(taken) were requests, \(refused) were not")
  for deep in ["[", "{\"a\":", "{\"request\":"] {
    let bytes = Array(String(repeating: deep, count: OperatorRequest.longestLine / deep.utf8.count).utf8)
    #expect(throws: OperatorRequestError.self) { try OperatorRequest(decoding: bytes) }
  }
}

@Test func `what is taken for a token is printed and read again as the same, whatever text comes`() throws {
  let token = SourceToken(id: 7, secret: Array(0..<32))
  var taken = 0
  try mutations(of: [Array(token.text.utf8)], words: ["swt_", "_", "+", "-", "0", "é"], count: 60_000) { bytes in
    guard let found = SourceToken(String(decoding: bytes, as: UTF8.self)) else { return }
    taken += 1
    let again = try #require(SourceToken(found.text))
    if again != found || found.id <= 0 || found.secret.count != 32 { Issue.record("\(found) is \(again)") }
  }
  #expect(taken > 1000, "\(taken) were tokens")
}

@Test func `of a header with a token comes a token or nothing for Influx, and the token itself however it is carried`()
{
  let token = SourceToken(id: 7, secret: Array(0..<32)).text
  let basic = "Basic " + base64("user:" + token)
  for (header, isInflux) in [
    ("Bearer " + token, false), ("bearer  " + token, true), ("Token u:" + token, true), (basic, true),
  ] {
    #expect(HTTPToken.text(["authorization": header], isInflux: isInflux) == token, "\(header)")
  }
  let seeds = ["Bearer " + token, "Token " + token, "Token u:" + token, basic, "Basic ====", "Digest a=b"].map {
    Array($0.utf8)
  }
  var found = 0
  mutations(of: seeds, words: [":", " ", "=", "Basic ", "Token ", "swt_"], count: 60_000) { bytes in
    let header = String(decoding: bytes, as: UTF8.self)
    for isInflux in [false, true] {
      let text = HTTPToken.text(["authorization": header], isInflux: isInflux)
      if text.isEmpty { continue }
      found += 1
      // Nothing is made up: it is no longer than what came, and of Influx only what could be one of ours.
      if text.unicodeScalars.count > header.unicodeScalars.count { Issue.record("\(header) is \(text)") }
      if isInflux && !text.hasPrefix(SourceToken.prefix) { Issue.record("\(header) is \(text)") }
    }
  }
  #expect(found > 5000, "\(found) had one")
}

/// RFC 4648, section 4.
private func base64(_ text: String) -> String {
  let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  let bytes = Array(text.utf8)
  var written = ""
  for at in stride(from: 0, to: bytes.count, by: 3) {
    let three = (0..<3).reduce(0) { $0 << 8 | (at + $1 < bytes.count ? Int(bytes[at + $1]) : 0) }
    for place in 0..<4 {
      written.append(at + place > bytes.count ? "=" : digits[three >> (18 - 6 * place) & 63])
    }
  }
  return written
}
