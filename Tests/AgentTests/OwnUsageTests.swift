import Platform
import Testing

@testable import Agent

@Test func `the agent tells of its own use of the processor from the first whole interval on`() {
  let start = BootInstant(nanoseconds: 5_000_000_000)
  var usage = OwnUsage(began: start, intervalMilliseconds: 1000)
  // 17 ms of work within the first 5 ms, on two cores: no interval yet.
  usage.look(17_000, at: start.adding(milliseconds: 5))
  #expect(usage.percent == nil)
  // Somebody begins to watch, and gets a sample out of turn.
  usage.look(27_000, at: start.adding(milliseconds: 8))
  #expect(usage.percent == nil)
  usage.look(67_000, at: start.adding(milliseconds: 1005))
  #expect(usage.percent == 5)
  usage.look(77_000, at: start.adding(milliseconds: 1008))
  #expect(usage.percent == 5)
  usage.look(167_000, at: start.adding(milliseconds: 2005))
  #expect(usage.percent == 10)
}

@Test func `a status before the first whole interval names no use of the processor`() throws {
  var report = AgentReport()
  #expect(!report.text.contains("of a core"))
  report.cpu_percent = 1.26
  #expect(report.text.contains("MiB, 1.3 % of a core"))
  let again = try #require(AgentReport(json: Array(report.json.utf8)))
  #expect(again == report)
}
