// What guard and worker say to each other: messages of one fixed size over a SEQPACKET socket pair.
//
// The worker names no address and no interface: those are the guard's own, from the root-owned configuration. All
// configured addresses are one group, claimed together and released together; `index` counts them as configured.
public import Platform

/// What the worker asks of the guard. `operation` comes back in the reply.
public enum GuardRequest: Equatable, Sendable {
  /// The control thread runs. A worker silent for 600 ms is killed and its addresses are removed.
  case alive
  /// The worker has started and can serve in its role: the supervisor hears READY=1.
  case ready
  /// What the operator reads in `systemctl status`; nothing depends on it.
  case state(WorkerState, epoch: Int64)
  /// Does anybody on the LAN answer for one of the addresses? Answered within about 100 ms.
  case probe(operation: UInt64)
  /// Adds all addresses. The kernel removes them after the lifetime unless they are renewed. The guard rounds down to
  /// whole seconds and never goes above the configured lease.
  case claim(operation: UInt64, lifetimeMilliseconds: UInt32)
  case renew(operation: UInt64, lifetimeMilliseconds: UInt32)
  /// Removes all addresses; supersedes whatever runs.
  case release(operation: UInt64)
  case status(operation: UInt64)
}

/// The worker's role in words.
public enum WorkerState: UInt8, Equatable, Sendable, CaseIterable {
  case starting = 1, standby, promoting, active, draining, steppingDown, degraded, faulty, excused, stopped
}

/// What the guard answers, and what it says by itself (the cases without `operation`).
public enum GuardReply: Equatable, Sendable {
  case probeSilent(operation: UInt64)
  case probeAnswered(operation: UInt64, index: UInt8, hardware: HardwareAddress)
  case probeFailed(operation: UInt64, failure: GuardFailure)
  /// All addresses are there, with the lifetime asked for, and are being announced.
  case claimed(operation: UInt64)
  /// None of the addresses is there (or, with `.stillPresent`, one could not be removed again).
  case claimFailed(operation: UInt64, failure: GuardFailure)
  case renewed(operation: UInt64)
  case renewFailed(operation: UInt64, failure: GuardFailure)
  /// No address is there any more: the kernel was asked.
  case released(operation: UInt64)
  /// An address is still there. The worker has to exit; guard and kernel go on with the removal.
  case releaseFailed(operation: UInt64, failure: GuardFailure)
  /// `present` has bit n set when address n is there; `shortestMilliseconds` is the shortest lifetime left of those.
  case status(operation: UInt64, present: UInt16, shortestMilliseconds: UInt32)
  /// An address that was held is gone, and not by the guard's doing.
  case addressLost(index: UInt8)
  /// Somebody else on the LAN says it has a held address. At most once a second.
  case duplicateSeen(index: UInt8, hardware: HardwareAddress)
  /// The interface of an address has, or lost, its carrier. Also said once to every new worker.
  case carrier(index: UInt8, up: Bool)
}

/// Why the guard could not do it. `detail` is the helper's exit status or an errno, 0 where there is none.
public struct GuardFailure: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Reason: UInt8, Equatable, Sendable, CaseIterable {
    /// The helper script ended with an exit status other than 0 (128 + signal when a signal ended it).
    case helperFailed = 1
    /// The helper script was killed at its deadline.
    case helperDeadline
    /// The helper script could not be started.
    case helperMissing
    /// The helper script said it succeeded, but the address is not there as it should be.
    case notVerified
    /// The address to renew is not there.
    case absent
    /// The address is there without a lifetime: somebody configured it statically.
    case staticAddress
    /// The address could not be removed.
    case stillPresent
    /// The request was too old when it was read.
    case stale
    /// The lifetime is below one second.
    case lifetime
    /// Another request of this kind is being worked on.
    case busy
    /// A release came in between, or the guard stops.
    case superseded
    case interfaceMissing
    case carrierDown
    /// Nothing is held that could be renewed.
    case notHeld
    /// The kernel refused.
    case kernel
  }
  public var reason: Reason
  public var detail: Int32
  public init(_ reason: Reason, detail: Int32 = 0) {
    self.reason = reason
    self.detail = detail
  }
  public var description: String { detail == 0 ? "\(reason)" : "\(reason)(\(detail))" }
}

// Bytes, little-endian: 0 magic "SW", 2 version, 3 kind, 4 index, 5 code, 6 zero, 8 operation (8), 16 time (8),
// 24 value (4), 28 extra (4), 32 hardware (6), 38 zero.
let guardMessageSize = 40
private let magic: [UInt8] = [0x53, 0x57, 1]

private struct Frame {
  var kind: UInt8
  var index: UInt8 = 0
  var code: UInt8 = 0
  var operation: UInt64 = 0
  var time: UInt64 = 0
  var value: UInt32 = 0
  var extra: UInt32 = 0
  var hardware = HardwareAddress.none

  init(_ kind: UInt8) { self.kind = kind }

  init?(_ bytes: [UInt8]) {
    guard bytes.count == guardMessageSize, bytes[..<3] == magic[...] else { return nil }
    func number(_ offset: Int, _ count: Int) -> UInt64 {
      (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }
    guard number(6, 2) == 0, number(38, 2) == 0, let hardware = HardwareAddress(bytes: bytes[32..<38]) else {
      return nil
    }
    self.hardware = hardware
    kind = bytes[3]
    index = bytes[4]
    code = bytes[5]
    operation = number(8, 8)
    time = number(16, 8)
    value = UInt32(truncatingIfNeeded: number(24, 4))
    extra = UInt32(truncatingIfNeeded: number(28, 4))
  }

  var bytes: [UInt8] {
    func little(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }
    return magic + [kind, index, code, 0, 0] + little(operation, 8) + little(time, 8) + little(UInt64(value), 4)
      + little(UInt64(extra), 4) + hardware.bytes + [0, 0]
  }

  var failure: GuardFailure? {
    GuardFailure.Reason(rawValue: code).map { GuardFailure($0, detail: Int32(bitPattern: value)) }
  }
  func with(_ failure: GuardFailure) -> Frame {
    var frame = self
    frame.code = failure.reason.rawValue
    frame.value = UInt32(bitPattern: failure.detail)
    return frame
  }
  func with(_ index: UInt8, _ hardware: HardwareAddress) -> Frame {
    var frame = self
    frame.index = index
    frame.hardware = hardware
    return frame
  }
  func with(operation: UInt64) -> Frame {
    var frame = self
    frame.operation = operation
    return frame
  }
}

extension GuardRequest {
  /// Always 40 bytes. `sent` lets the guard refuse a request that waited while one of the two was stopped.
  func encoded(sent: BootInstant) -> [UInt8] {
    var frame: Frame
    switch self {
    case .alive: frame = Frame(1)
    case .ready: frame = Frame(2)
    case .state(let state, let epoch):
      frame = Frame(3).with(operation: UInt64(bitPattern: epoch))
      frame.code = state.rawValue
    case .probe(let operation): frame = Frame(4).with(operation: operation)
    case .claim(let operation, let lifetime):
      frame = Frame(5).with(operation: operation)
      frame.value = lifetime
    case .renew(let operation, let lifetime):
      frame = Frame(6).with(operation: operation)
      frame.value = lifetime
    case .release(let operation): frame = Frame(7).with(operation: operation)
    case .status(let operation): frame = Frame(8).with(operation: operation)
    }
    frame.time = UInt64(bitPattern: sent.nanoseconds)
    return frame.bytes
  }

  /// Nil when the bytes are not a request, whatever they are.
  static func decoded(_ bytes: [UInt8]) -> (request: GuardRequest, sent: BootInstant)? {
    guard let frame = Frame(bytes) else { return nil }
    let request: GuardRequest
    switch frame.kind {
    case 1: request = .alive
    case 2: request = .ready
    case 3:
      guard let state = WorkerState(rawValue: frame.code) else { return nil }
      request = .state(state, epoch: Int64(bitPattern: frame.operation))
    case 4: request = .probe(operation: frame.operation)
    case 5: request = .claim(operation: frame.operation, lifetimeMilliseconds: frame.value)
    case 6: request = .renew(operation: frame.operation, lifetimeMilliseconds: frame.value)
    case 7: request = .release(operation: frame.operation)
    case 8: request = .status(operation: frame.operation)
    case _: return nil
    }
    return (request, BootInstant(nanoseconds: Int64(bitPattern: frame.time)))
  }
}

extension GuardReply {
  /// Always 40 bytes.
  func encoded() -> [UInt8] {
    switch self {
    case .probeSilent(let operation): return Frame(1).with(operation: operation).bytes
    case .probeAnswered(let operation, let index, let hardware):
      return Frame(2).with(operation: operation).with(index, hardware).bytes
    case .probeFailed(let operation, let failure): return Frame(3).with(operation: operation).with(failure).bytes
    case .claimed(let operation): return Frame(4).with(operation: operation).bytes
    case .claimFailed(let operation, let failure): return Frame(5).with(operation: operation).with(failure).bytes
    case .renewed(let operation): return Frame(6).with(operation: operation).bytes
    case .renewFailed(let operation, let failure): return Frame(7).with(operation: operation).with(failure).bytes
    case .released(let operation): return Frame(8).with(operation: operation).bytes
    case .releaseFailed(let operation, let failure): return Frame(9).with(operation: operation).with(failure).bytes
    case .status(let operation, let present, let shortest):
      var frame = Frame(10).with(operation: operation)
      frame.value = UInt32(present)
      frame.extra = shortest
      return frame.bytes
    case .addressLost(let index): return Frame(11).with(index, .none).bytes
    case .duplicateSeen(let index, let hardware): return Frame(12).with(index, hardware).bytes
    case .carrier(let index, let up):
      var frame = Frame(13).with(index, .none)
      frame.code = up ? 1 : 0
      return frame.bytes
    }
  }

  /// Nil when the bytes are not a reply.
  static func decoded(_ bytes: [UInt8]) -> GuardReply? {
    guard let frame = Frame(bytes) else { return nil }
    let operation = frame.operation
    switch frame.kind {
    case 1: return .probeSilent(operation: operation)
    case 2: return .probeAnswered(operation: operation, index: frame.index, hardware: frame.hardware)
    case 3: return frame.failure.map { .probeFailed(operation: operation, failure: $0) }
    case 4: return .claimed(operation: operation)
    case 5: return frame.failure.map { .claimFailed(operation: operation, failure: $0) }
    case 6: return .renewed(operation: operation)
    case 7: return frame.failure.map { .renewFailed(operation: operation, failure: $0) }
    case 8: return .released(operation: operation)
    case 9: return frame.failure.map { .releaseFailed(operation: operation, failure: $0) }
    case 10:
      guard let present = UInt16(exactly: frame.value) else { return nil }
      return .status(operation: operation, present: present, shortestMilliseconds: frame.extra)
    case 11: return .addressLost(index: frame.index)
    case 12: return .duplicateSeen(index: frame.index, hardware: frame.hardware)
    case 13: return frame.code > 1 ? nil : .carrier(index: frame.index, up: frame.code == 1)
    case _: return nil
    }
  }
}
