// Influx line protocol over TCP into the metric table, through a real database.
import Platform
import Testing

@testable import Node

@Suite struct IngestInfluxTests {
  @Test func `points over TCP are stored, bad lines are kept beside them, the last line may lack its end`() throws {
    let harness = try IngestHarness().activate()
    do {
      let client = try NativeClient(harness.influxTCP)
      let now = wallMicroseconds() * 1000
      try client.send("cpu,host=h1,app=a,core=0 user=1.5,idle=98i \(now)\nnonsense\nm,app=a value=")
      try client.send("7\nlog,app=a message=\"two\nlines\",level=\"warn\"\nlast,app=a f=t")
    }
    try harness.wait("four metrics and a log") { _ in
      try harness.stored("metric").rows == 4 && harness.stored("log").rows == 1
    }
    let rows = try harness.query(
      """
      SELECT n.name, h.name, m.value, m.labels FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id
      JOIN telemetry.host AS h ON h.id = m.host_id ORDER BY n.name
      """)
    #expect(
      rows == [
        ["cpu.idle", "h1", "98", #"{"core": "0"}"#], ["cpu.user", "h1", "1.5", #"{"core": "0"}"#],
        ["last.f", "127.0.0.1", "1", nil], ["m", "127.0.0.1", "7", nil],
      ])
    try harness.wait("the bad line") { _ in
      try harness.query("SELECT convert_from(raw, 'UTF8'), reason FROM ingest.rejected")
        == [["nonsense", "influx: missing fields"]]
    }
  }

  @Test func `many connections at once are stored completely`() throws {
    let harness = try IngestHarness().activate()
    let clients = try (0..<20).map { _ in try NativeClient(harness.influxTCP) }
    for round in 0..<50 {
      for (index, client) in clients.enumerated() {
        try client.send("m,app=a,client=\(index) f=\(round)i,g=\(round * 2)i\n")
      }
    }
    try harness.wait("all metrics") { _ in try harness.stored("metric").rows == 2000 }
    #expect(
      try harness.number("SELECT count(*) FROM (SELECT DISTINCT labels, metric_id, value FROM telemetry.metric) AS d")
        == 2000)
  }
}
