// The page of `hactl watch`: families in lines, units, and a page that fits its terminal.
import Testing

@testable import hactl

@Suite struct `The page of watch` {
  private func page(_ metrics: [(String, [String: String], Double)]) -> WatchPage {
    WatchPage(
      host: "mes-07", time: "12:00:00", age: 0.31,
      metrics: metrics.map { WatchPage.Metric(name: $0.0, labels: $0.1, value: $0.2) },
      processes: [["oracle", "running", "3.1 %", "512 MiB", "9", "0"]])
  }
  private let plain = Style(colour: false)

  @Test func `metrics of one family and thing share a line, with units`() {
    let lines = page([
      ("cpu.busy", [:], 12.34), ("cpu.idle", [:], 87), ("disk.read_bytes", ["device": "sda"], 40_000_000),
      ("disk.reads", ["device": "sda"], 1234), ("memory.total", [:], 34_359_738_368), ("load.1", [:], 0.5),
      ("uptime.seconds", [:], 7300), ("filesystem.used", ["mount": "/", "type": "ext4"], 20_480),
    ]).lines(columns: 100, rows: nil, plain)
    #expect(
      lines == [
        "mes-07  12:00:00  newest sample 0.31 s old",
        "cpu           busy 12.3 %  idle 87 %",
        "disk sda      read_bytes 38 MiB/s  reads 1 234/s",
        "filesystem /  used 20 KiB",
        "load          1 0.5",
        "memory        total 32 GiB",
        "uptime        seconds 2 h 1 min",
        "",
        "PROCESS  STATE    CPU    MEMORY   THREADS  RESTARTS",
        "oracle   running  3.1 %  512 MiB  9        0",
      ])
  }
  @Test func `on a terminal no line is wider and the page is no longer than it, and what is left out is counted`() {
    let cores = (0..<64).map { ("cpu.core.busy", ["core": "\($0)"], Double($0)) }
    let lines = page(cores + (0..<9).map { ("wide.metric_\($0)", [:], 1e9) }).lines(columns: 40, rows: 20, plain)
    #expect(lines.count == 20)
    #expect(lines.allSatisfy { $0.count <= 40 })
    #expect(lines.last?.hasSuffix(" more lines") == true)
  }
  @Test func `a name's control characters do not reach the terminal, and no number traps`() {
    let hostile = page([
      ("a\u{1b}[2J.b\n", ["x": "\u{7}"], .nan), ("memory.free", [:], 1e300), ("memory.used", [:], -.infinity),
      ("x.seconds", [:], 1e300), ("", [:], -1e308), (".", [:], 9.3e18),
    ]).lines(columns: 0, rows: 3, plain)
    #expect(!hostile.joined().unicodeScalars.contains { $0.value < 0x20 })
    #expect(page([]).lines(columns: 80, rows: 1, plain).count >= 1)
  }
}
