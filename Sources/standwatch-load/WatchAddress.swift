// `watch-address`: asks the LAN all the time who has an address, and reports when two had it at once.
import Platform

/// A run of claims of one hardware address without a longer pause.
private struct Span {
  var hardware: HardwareAddress
  var first: BootInstant
  var last: BootInstant
  var claims = 1
}

/// A time during which two hardware addresses claimed the address.
private struct Overlap {
  var from: BootInstant
  var to: BootInstant
  var hardware: [HardwareAddress]
  var milliseconds: Double
}

private struct Sighting {
  // Longer than a few questions that were lost, shorter than any takeover.
  static let pauseMilliseconds = 100.0
  private var open: [Span] = []
  private(set) var spans: [Span] = []

  mutating func claimed(_ hardware: HardwareAddress, at now: BootInstant) {
    if let index = open.firstIndex(where: { $0.hardware == hardware }) {
      if now.milliseconds(since: open[index].last) <= Self.pauseMilliseconds {
        open[index].last = now
        open[index].claims += 1
        return
      }
      spans.append(open.remove(at: index))
    }
    // A LAN that answers with ever new hardware is not worth more memory.
    if spans.count + open.count < 100_000 { open.append(Span(hardware: hardware, first: now, last: now)) }
  }
  mutating func finish() {
    spans = (spans + open).sorted { $0.first < $1.first }
    open = []
  }

  /// A holder that is seen once inside another's span counts for one question.
  func overlaps(questionMilliseconds: Double) -> [Overlap] {
    var found: [Overlap] = []
    for (index, one) in spans.enumerated() {
      for other in spans[(index + 1)...] {
        // Sorted by their beginnings: nobody behind this one overlaps.
        if other.first > one.last { break }
        if other.hardware == one.hardware { continue }
        let end = min(one.last, other.last)
        let length = max(questionMilliseconds, end.milliseconds(since: other.first))
        found.append(
          Overlap(from: other.first, to: end, hardware: [one.hardware, other.hardware], milliseconds: length))
      }
    }
    return found
  }
}

/// Runs until its time is over or a signal asks it to end; the exit status.
func watchAddress(_ options: WatchOptions) throws(SystemError) -> Int32 {
  guard let address = IPAddress(options.address) else {
    log(.error, "not a numeric address", ["address": options.address])
    return 2
  }
  let signals = try SignalDescriptor([SignalNumber.interrupt, SignalNumber.terminate])
  var prober = try LanProber(address, interface: options.interface)
  var sighting = Sighting()
  let end = options.seconds.map { BootInstant.after(milliseconds: Int64($0 * 1000)) }
  while true {
    let now = BootInstant.now()
    if signals.next() != nil { break }
    if let end, now >= end { break }
    // In slices, so that a signal is seen soon though nobody answers.
    prober.run(everyMilliseconds: options.intervalMilliseconds, until: now.adding(milliseconds: 200)) { answer in
      sighting.claimed(answer.hardware, at: answer.at)
      return true
    }
  }
  sighting.finish()
  let overlaps = sighting.overlaps(questionMilliseconds: Double(options.intervalMilliseconds))
  let twoHolders = overlaps.reduce(0) { $0 + $1.milliseconds }
  let report = JSON.object([
    ("address", .text(address.description)), ("interface", .text(options.interface)),
    ("questions", .integer(Int64(prober.questions))),
    (
      "spans",
      .list(
        sighting.spans.map {
          .object([
            ("mac", .text("\($0.hardware)")), ("first_ns", .integer($0.first.nanoseconds)),
            ("last_ns", .integer($0.last.nanoseconds)), ("claims", .integer(Int64($0.claims))),
          ])
        })
    ),
    (
      "overlaps",
      .list(
        overlaps.map {
          .object([
            ("from_ns", .integer($0.from.nanoseconds)), ("to_ns", .integer($0.to.nanoseconds)),
            ("macs", .list($0.hardware.map { .text("\($0)") })),
          ])
        })
    ),
    ("two_holders_ms", .number(twoHolders)),
  ])
  if let path = options.jsonPath { try write(report, to: path) }
  if options.jsonPath != "-" {
    for span in sighting.spans {
      print("\(span.hardware) for \(Int64(span.last.milliseconds(since: span.first))) ms, \(span.claims) claims")
    }
    print("two holders for \(twoHolders) ms, \(prober.questions) questions asked")
  }
  return overlaps.isEmpty ? 0 : 1
}
