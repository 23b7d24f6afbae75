// What every fuzzed decoder has: a name, bounds, and a check that says more than "it did not crash".
import Chance

/// A sentence that had to be true of a decoder, and was not.
struct Broken: Error, Equatable, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
func hold(_ condition: Bool, _ sentence: @autoclosure () -> String) throws(Broken) {
  if !condition { throw Broken(sentence()) }
}

/// One target of the fuzzer.
struct FuzzedDecoder: Sendable {
  /// As `scripts/fuzz` and the file of its corpus call it.
  var name: String
  /// Bytes of the longest input that is tried.
  var longest = 4096
  /// Words of the format, which the fuzzer puts into inputs.
  var words: [String] = []
  var check: @Sendable ([UInt8]) throws(Broken) -> Void
}

enum FuzzedDecoders {
  static let all: [FuzzedDecoder] =
    [native, nativeLines, nativeReply, syslog, syslogDatagram, forward, messagePack, influx, zabbix]
    + [otlpProtobuf, otlpJSON, exposition, accessLog, logLine, journal, inflated, beat, configuration]
    + [spool, spoolFrames, localLines, netlink, httpBody]
}

/// Counts the bytes that a decoder has allocated at the most, where the fuzzer's hooks are there to count.
enum Meter {
  struct Hooks {
    var begin: () -> Void
    /// Most bytes in use since `begin`, beyond those at its time.
    var end: () -> Int
  }
  /// Set once, before anything is decoded.
  nonisolated(unsafe) static var hooks: Hooks?
  /// Bytes that came out of packed ones since the count began: they are input like those that were sent.
  private nonisolated(unsafe) static var unpacked = 0

  static func noteUnpacked(_ count: Int) {
    if unsafe hooks != nil { unsafe unpacked += count }
  }
  fileprivate static func allowed(_ input: Int, _ fixed: Int, _ each: Int) -> Int {
    unsafe fixed + each * (input + unpacked)
  }

  /// Runs `body`, which may take `fixed` bytes and `each` for every byte of its input.
  static func bounded<Answer>(
    _ input: Int, fixed: Int = 256 << 10, each: Int, _ body: () throws(Broken) -> Answer
  ) throws(Broken) -> Answer {
    guard let hooks = unsafe hooks else { return try body() }
    hooks.begin()
    unsafe unpacked = 0
    let answer: Answer
    do throws(Broken) { answer = try body() } catch {
      _ = hooks.end()
      throw error
    }
    let most = hooks.end()
    try hold(most <= allowed(input, fixed, each), "\(most) bytes were allocated for \(input) of input")
    return answer
  }
}

extension Meter {
  /// As `bounded`, for what throws errors of its own; the bound is then a trap.
  static func counted<Answer, Fault: Error>(
    _ input: Int, fixed: Int = 256 << 10, each: Int, _ body: () throws(Fault) -> Answer
  ) throws(Fault) -> Answer {
    guard let hooks = unsafe hooks else { return try body() }
    hooks.begin()
    unsafe unpacked = 0
    let answer: Answer
    do throws(Fault) { answer = try body() } catch {
      _ = hooks.end()
      throw error
    }
    let most = hooks.end()
    precondition(most <= allowed(input, fixed, each), "\(most) bytes were allocated for \(input) of input")
    return answer
  }
}

/// Its seed is the input itself: the same input is always cut at the same places.
private func chance(of bytes: [UInt8]) -> SplitMix64 {
  SplitMix64(seed: bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
}

/// The same bytes cut in other ways: in one piece, byte by byte where that is not too many, and at random places.
func cuts(_ bytes: [UInt8]) -> [[ArraySlice<UInt8>]] {
  var dice = chance(of: bytes)
  var ways: [[ArraySlice<UInt8>]] = []
  if bytes.count <= 512 { ways.append(bytes.indices.map { bytes[$0...$0] }) }
  for longest in [16, max(2, bytes.count)] {
    var pieces: [ArraySlice<UInt8>] = []
    var at = 0
    while at < bytes.count {
      let count = min(Int.random(in: 1...longest, using: &dice), bytes.count - at)
      pieces.append(bytes[at..<at + count])
      at += count
    }
    ways.append(pieces)
  }
  return ways
}

/// What a decoder makes of the bytes in one piece, which has to be what it makes of them in others.
func howeverCut<Answer: Equatable>(
  _ bytes: [UInt8], each: Int, _ decode: ([ArraySlice<UInt8>]) throws(Broken) -> Answer
) throws(Broken) -> Answer {
  let whole = try Meter.bounded(bytes.count, each: each) { () throws(Broken) in try decode([bytes[...]]) }
  for pieces in cuts(bytes) {
    let again = try decode(pieces)
    try hold(
      again == whole,
      "in pieces of \(pieces.map(\.count)) it is\n\(again)\nand in one\n\(whole)")
  }
  return whole
}

/// µs since 2000 of 2026-11-20T09:00:00Z: when everything arrives.
let nine: Int64 = 848_480_400_000_000
