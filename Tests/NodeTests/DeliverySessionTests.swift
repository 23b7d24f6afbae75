// Sessions of protocols that deliver, as the intake holds them: what a byte costs does not depend on what is held.
import Platform
import Telemetry
import Testing

@testable import Node

@Suite struct DeliverySessionTests {
  @Test(arguments: [
    (DeliveryWire.forward, [0x93, 0xa1, 0x74, 0xdb, 0x00, 0x3e, 0x00, 0x00] as [UInt8]),
    (DeliveryWire.zabbix, Array("ZBXD".utf8) + [1, 0, 0, 0x3e, 0, 0, 0, 0, 0]),
  ])
  func `who sends byte by byte behind megabytes costs no more than behind little`(_ wire: DeliveryWire, _ head: [UInt8])
    throws
  {
    func milliseconds(behind held: Int) -> Double {
      var session = DeliverySession(wire, peer: "p", limits: DeliveryLimits(), security: nil)
      #expect(session.received(head + [UInt8](repeating: 0x61, count: held), now: 0) == [])
      let begun = BootInstant.now()
      for _ in 0..<2000 { _ = session.received([0x61], now: 0) }
      #expect(session.heldBytes > held)
      return BootInstant.now().milliseconds(since: begun)
    }
    let little = milliseconds(behind: 1000)
    // Copies of all that is held would be thousands of milliseconds; what remains is far from either.
    #expect(milliseconds(behind: 3_900_000) < little * 20 + 500)
  }
}
