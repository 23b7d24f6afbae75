import Telemetry
import Testing

@testable import Agent

private struct Talk: ~Copyable {
  var lines: LocalLines
  var completer: LineCompleter
  init(maxLine: Int = 65_000) {
    lines = LocalLines(host: "mes-07", app: "local", maxLine: maxLine)
    completer = LineCompleter(maxLine: maxLine)
  }
  mutating func say(_ text: String) { lines.received(Array(text.utf8)[...], &completer, at: 0) }
  var answers: [String] { String(decoding: lines.answers, as: UTF8.self).split(separator: "\n").map(String.init) }
}
private let good = #"{"type":"event","kind":"k"}"#

@Test func `lines without a hello are taken, and nothing is answered`() {
  var talk = Talk()
  talk.say(good + "\n" + good + "\r\n\n  \n" + "nonsense\n")
  talk.lines.stored(3)
  #expect(talk.lines.takenCount == 2)
  #expect(talk.lines.refused == 1)
  #expect(talk.answers.isEmpty)
}

@Test func `after a hello every line is answered, by number`() {
  var talk = Talk()
  talk.say(
    #"{"hello":{"app":"EQP-12","ack":true}}"# + "\n" + good + "\nnonsense\n" + #"{"ping":7}"# + "\n" + good + "\n")
  talk.lines.stored(talk.lines.lines)
  #expect(
    talk.answers == [
      #"{"welcome":{"host":"mes-07","max_line":65000}}"#, #"{"reject":{"line":2,"reason":"not valid JSON"}}"#,
      #"{"pong":7}"#, #"{"ack":3}"#,
    ])
  #expect(String(decoding: talk.lines.taken, as: UTF8.self).contains(#""app":"EQP-12""#))
}

@Test func `a line that comes byte by byte, or without its newline at the end, is a line`() {
  var talk = Talk()
  for byte in good.utf8 { talk.lines.received([byte], &talk.completer, at: 0) }
  #expect(talk.lines.takenCount == 0)
  talk.lines.ended(&talk.completer, at: 0)
  #expect(talk.lines.takenCount == 1)
}

@Test func `an overlong line is refused once, and what follows is taken`() {
  var talk = Talk(maxLine: 2000)
  talk.say(#"{"hello":{"ack":true}}"# + "\n")
  for _ in 0..<50 { talk.say(String(repeating: "x", count: 1000)) }
  #expect(talk.lines.heldBytes < 5000)
  talk.say("\n" + good + "\n")
  #expect(talk.lines.refused == 1)
  #expect(talk.lines.takenCount == 1)
  #expect(talk.lines.lines == 2)
}

@Test func `hostile hellos change nothing that they should not`() {
  for hello in [
    #"{"hello":{}}"#, #"{"hello":{"app":""}}"#, #"{"hello":{"app":"\#(String(repeating: "a", count: 201))"}}"#,
    #"{"hello":{"app":"a\u0001"}}"#, #"{"hello":{"app":7,"ack":"yes"}}"#, #"{"hello":{"ack":1}}"#,
  ] {
    var talk = Talk()
    talk.say(hello + "\n" + good + "\n")
    talk.lines.stored(1)
    #expect(String(decoding: talk.lines.taken, as: UTF8.self).contains(#""app":"local""#), "\(hello)")
    #expect(talk.answers.count == 1, "\(hello)")
  }
  for bad in [#"{"hello":[]}"#, #"{"hello":7}"#, #"{"hello":{"app":"x"}"#, #"{"ping":"x"}"#, #"{"ping":1.5}"#] {
    var talk = Talk()
    talk.say(bad + "\n")
    #expect(talk.lines.refused == 1 && talk.lines.takenCount == 0, "\(bad)")
  }
}
