// Whom a quota refuses, and whom never: a source whose series stay the same.
@testable import Telemetry
import Testing

@Suite struct QuotaTests {
  private func quota(labelSets: Int32 = 20_000) -> SourceQuota {
    var quota = SourceQuota()
    quota.labelSets = labelSets
    return quota
  }
  /// How many of a source's series, numbered, are refused.
  private func refused(_ quota: inout SourceQuota, _ source: String, _ series: Range<UInt64>) -> Int {
    quota.begin(source)
    var refused = 0
    for number in series {
      var hash = NameHash()
      hash.add(number)
      if !quota.takesLabels(UInt64(bitPattern: hash.finish(count: 8))) { refused += 1 }
    }
    return refused
  }

  @Test func `steady series are taken however many sources have them`() {
    var quota = quota()
    // 400,000 series: more than are remembered.
    for round in 1...4 {
      for source in 1...40 {
        #expect(refused(&quota, "host-\(source)", 0..<10_000) == 0, "round \(round), source \(source)")
      }
    }
  }

  @Test func `a source that invents series is refused beyond its share, and nobody else is`() {
    var quota = quota()
    #expect(refused(&quota, "bad", 0..<100_000) == 80_000)
    #expect(quota.refused == 80_000)
    #expect(refused(&quota, "good", 0..<19_000) == 0)
    #expect(refused(&quota, "bad", 0..<20_000) == 0, "what it has already stays known")
    quota.renew()
    #expect(refused(&quota, "bad", 500_000..<520_000) == 0, "the next hour is another one")
  }
}
