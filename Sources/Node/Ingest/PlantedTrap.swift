// Faults that tests plant into the decoders: bytes that hold a marker crash or hang whoever decodes them.

/// Only a program of the tests has a way to set it.
public struct PlantedTrap: Equatable, Sendable {
  private let trap: [UInt8]
  private let loop: [UInt8]
  private let laneTrap: [UInt8]
  /// `trap` crashes a decoder, `loop` lets it compute for ever, `laneTrap` crashes the lane that rolls a record up.
  public init(trap: String, loop: String, laneTrap: String) {
    (self.trap, self.loop, self.laneTrap) = (Array(trap.utf8), Array(loop.utf8), Array(laneTrap.utf8))
  }

  func trip(_ bytes: [UInt8]) {
    if bytes.holds(trap) { preconditionFailure("planted") }
    var turns: UInt64 = 0
    while bytes.holds(loop) { turns &+= 1 }
  }
  func tripLane(_ row: RawSpan) {
    // Sound: copied at once.
    let bytes = unsafe row.withUnsafeBytes { unsafe Array($0) }
    if bytes.holds(laneTrap) { preconditionFailure("planted in a lane") }
  }
}

extension [UInt8] {
  fileprivate func holds(_ marker: [UInt8]) -> Bool {
    guard let first = marker.first, count >= marker.count else { return false }
    for at in 0...(count - marker.count) where self[at] == first {
      if self[at..<(at + marker.count)].elementsEqual(marker) { return true }
    }
    return false
  }
}
