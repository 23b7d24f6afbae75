// The native protocol from socket to PostgreSQL.
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite(.serialized) struct IngestNativeTests {
  @Test func `a record is acknowledged and stored once`() throws {
    let harness = try IngestHarness().activate()
    let (client, committed) = try NativeClient.open(harness)
    #expect(committed == 0)
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
    #expect(try harness.stored() == (1, 1))
  }
}
