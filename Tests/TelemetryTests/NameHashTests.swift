// The name hash is permanent: these vectors may never change.
import Chance
@testable import Telemetry
import Testing

private func id(_ name: String) -> Int64 { NameHash.id(of: Array(name.utf8)) }

@Test func `ids of names are those that are stored in databases`() {
  let vectors: [(String, Int64)] = [
    ("", 484159330584657818),
    ("a", 5457043974308546113),
    ("mes-07", 931111902793260930),
    ("12345678", 2362968513843033231),
    ("123456789", 7138321985532920478),
    ("EQP-ADAPTER-12", 1344020254427663370),
    ("café", 3189705218964602701),
    ("a name with more than thirty-two bytes in it", 42637794951615835),
  ]
  for (name, expected) in vectors { #expect(id(name) == expected, "\(name)") }
  #expect(NameHash.streamID(source: "mes-07/collector", stream: "5f0c") == 1324623493943589093)
}

@Test func `the id of a name is the same wherever its bytes stand`() throws {
  for count in 1...40 {
    let name = (0..<count).map { UInt8(97 + $0 % 26) }
    var c = Connection()
    c.feed(
      Array(#"{"seq":1,"type":"event","ts":"2026-11-20T09:00:00Z","app":"a","kind":"k","host":""#.utf8) + name
        + Array("\"}\n".utf8))
    #expect(try Contents(c.batch)[.event].first?["host_id"] == "\(NameHash.id(of: name))")
  }
}

@Test func `a million names have a million ids`() {
  var ids: Set<Int64> = []
  ids.reserveCapacity(1_000_000)
  for i in 0..<500_000 {
    ids.insert(id("host-\(i)"))
    ids.insert(id("\(i % 1000)/EQP-ADAPTER-\(i)/queue.\(i % 7)"))
  }
  #expect(ids.count == 1_000_000)
}

@Test func `every bit of a name changes every bit of its id about half of the time`() {
  var random = SplitMix64(seed: 3)
  for length in [4, 8, 13, 24] {
    var flips = Array(repeating: Array(repeating: 0, count: 63), count: length * 8)
    let rounds = 2000
    for _ in 0..<rounds {
      var name = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let before = NameHash.id(of: name)
      for bit in 0..<length * 8 {
        name[bit / 8] ^= 1 << UInt8(bit % 8)
        let change = before ^ NameHash.id(of: name)
        name[bit / 8] ^= 1 << UInt8(bit % 8)
        for out in 0..<63 where change >> Int64(out) & 1 == 1 { flips[bit][out] += 1 }
      }
    }
    let shares = flips.joined().map { Double($0) / Double(rounds) }
    #expect(shares.allSatisfy { abs($0 - 0.5) < 0.07 }, "length \(length): \(shares.min() ?? 0) \(shares.max() ?? 0)")
  }
}
