// When a silent thread is taken for hung.
import Platform
import Testing

@testable import Node

@Suite struct WatchdogTests {
  private func at(_ milliseconds: Int64) -> BootInstant {
    BootInstant(nanoseconds: 0).adding(milliseconds: milliseconds)
  }
  /// Whether a dog of one second barks at each of `looks`: the time, and the last sign of life known then.
  private func barks(_ looks: [(time: Int64, sign: Int64)]) -> [Bool] {
    var dog = Watchdog(patienceMilliseconds: 1000)
    return looks.map { dog.look(at($0.sign), at: at($0.time)) }
  }

  @Test func `a thread that gives signs of life is never taken for hung`() {
    let looks = stride(from: Int64(100), to: 20_000, by: 100).map { (time: $0, sign: $0 / 900 * 900) }
    #expect(!barks(looks).contains(true))
  }

  @Test func `a thread without a sign is taken for hung after the patience`() {
    let looks = stride(from: Int64(100), to: 3000, by: 100).map { (time: $0, sign: Int64(50)) }
    #expect(barks(looks).firstIndex(of: true) == 11)
  }

  @Test func `a pause of the whole process makes nobody hang`() {
    #expect(barks([(100, 50), (60_000, 50), (60_100, 60_050)]) == [false, false, false])
  }
}

@Suite struct HandWatchTests {
  @Test func `a thread that computes on one piece beyond the patience hangs, a slow one with many pieces does not`() {
    var watch = HandWatch(patienceMilliseconds: 1000)
    let one = (0..<20).map { watch.look(3, (turn: 7, processorNanoseconds: Int64($0) * 100_000_000)) }
    #expect(one.firstIndex(of: true) == 11)
    let many = (0..<20).map { watch.look(2, (turn: UInt64($0 / 5), processorNanoseconds: Int64($0) * 200_000_000)) }
    #expect(!many.contains(true))
  }

  @Test func `a thread that gets no processor, or has nothing in hand, never hangs`() {
    var watch = HandWatch(patienceMilliseconds: 1000)
    #expect(!(0..<100).contains { _ in watch.look(0, (turn: 7, processorNanoseconds: 5)) })
    #expect(!(0..<100).contains { watch.look(1, $0 % 2 == 0 ? nil : (turn: 7, processorNanoseconds: Int64($0) << 30)) })
  }
}
