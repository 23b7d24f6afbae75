// The simulator's own source of chance: the same seed gives the same run on every machine.

/// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64.
struct Random {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  init(seed: UInt64) {
    var mixer = seed &+ 0x9E37_79B9_7F4A_7C15
    func next() -> UInt64 {
      mixer = mixer &+ 0x9E37_79B9_7F4A_7C15
      var z = mixer
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    state = (next(), next(), next(), next())
  }

  mutating func next() -> UInt64 {
    func rotated(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }
    let result = rotated(state.1 &* 5, 7) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = rotated(state.3, 45)
    return result
  }

  mutating func chance(_ probability: Double) -> Bool {
    Double(next() >> 11) / 9_007_199_254_740_992 < probability
  }
  mutating func int(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + Int(next() % UInt64(range.upperBound - range.lowerBound + 1))
  }
  /// Nanoseconds between so many microseconds.
  mutating func microseconds(_ range: ClosedRange<Int>) -> Int64 { Int64(int(range)) * 1_000 }
  /// Nanoseconds between so many milliseconds.
  mutating func milliseconds(_ range: ClosedRange<Int>) -> Int64 {
    microseconds(range.lowerBound * 1_000...range.upperBound * 1_000)
  }
  mutating func pick<T>(_ items: [T]) -> T { items[int(0...items.count - 1)] }
}
