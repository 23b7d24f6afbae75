// What a process had in hand when it crashed, kept in memory that its parent owns.
internal import CLinux
internal import Glibc

/// One crash: what the thread that crashed had in hand.
public struct CrashRecord: Equatable, Sendable {
  /// Where it stands; for `CrashEvidence.forget`.
  public var place: Int
  public var signal: Int32
  /// As given to `holdInHand`.
  public var name: [UInt8]
  /// At most 256 KiB of what was given; of a thread that hung, none when it let go at that moment.
  public var bytes: [UInt8]
  /// Whether `bytes` are all there were, and all of them one piece that can be told apart.
  public var isExact: Bool
  public var wallMicroseconds: Int64
}

/// The shared memory. The guard makes it and hands its descriptor to each worker; it lives as long as the guard.
@safe public final class CrashEvidence: Sendable {
  public let descriptor: Descriptor
  // Sound: mapped until the process ends; every access is a plain load or store of a fixed layout.
  private nonisolated(unsafe) let memory: UnsafeMutablePointer<sw_evidence>

  /// Makes new memory.
  public convenience init() throws(SystemError) {
    let raw = sw_evidence_create()
    guard raw >= 0 else { throw .last("memfd_create") }
    try self.init(inherited: raw)
  }
  /// Takes over what a parent handed down.
  public init(inherited raw: Int32) throws(SystemError) {
    guard let mapped = unsafe sw_evidence_map(raw) else { throw SystemError(call: "map crash evidence", code: EINVAL) }
    unsafe memory = unsafe mapped
    descriptor = Descriptor(owning: raw)
    _ = sw_set_inheritable(descriptor.raw, 0)
  }
  /// The calling thread says what it has in hand from now on, in this slot (from 0 on, below `slots`), until it ends with the process.
  public func enter(slot: Int) throws(SystemError) {
    guard unsafe sw_evidence_enter(memory, Int32(slot)) == 0 else { throw .last("sigaltstack") }
  }
  /// Lets the process write down who crashed, when it does.
  public func watch() throws(SystemError) {
    guard sw_evidence_watch() == 0 else { throw .last("sigaction") }
  }
  /// This process ends itself because the thread of `slot` hangs: what that one holds counts as held at a crash.
  public func hung(slot: Int) { unsafe sw_evidence_hung(memory, descriptor.raw, Int32(slot)) }
  /// The piece that the thread of a slot has in hand, as a number that no other piece has, and the processor time that
  /// the thread has taken, all in all. Nil when it has nothing in hand.
  public func inHand(slot: Int) -> (turn: UInt64, processorNanoseconds: Int64)? {
    var processor: Int64 = 0
    let turn = unsafe sw_evidence_turn(memory, Int32(slot), &processor)
    return turn == 0 ? nil : (turn, processor)
  }
  /// How many threads can say what they have in hand.
  public static let slots = Int(SW_EVIDENCE_SLOTS)
  /// The process that wrote it has ended: how many crashes there were to keep (0 or 1, unless two threads crash at once).
  public func harvest() -> Int { Int(unsafe sw_evidence_harvest(memory, wallMicroseconds())) }

  /// Crashes that were kept and not forgotten, the oldest first.
  public func pending() -> [CrashRecord] {
    var records: [CrashRecord] = []
    for place in 0..<SW_EVIDENCE_PENDING {
      // Sound: the guard bounded both counts when it kept the crash.
      let found = unsafe sw_evidence_pending(memory, Int32(place))
      guard let entry = unsafe found, unsafe entry.pointee.busy != 0 else { continue }
      let nameCount = min(Int(unsafe entry.pointee.name_count), SW_EVIDENCE_NAME)
      let byteCount = min(Int(unsafe entry.pointee.byte_count), SW_EVIDENCE_BYTES)
      let name = unsafe withUnsafeBytes(of: &entry.pointee.name) { unsafe Array($0.prefix(nameCount)) }
      let bytes = unsafe Array(UnsafeRawBufferPointer(start: sw_evidence_bytes(entry), count: byteCount))
      records.append(
        CrashRecord(
          place: place, signal: Int32(bitPattern: unsafe entry.pointee.signal), name: name, bytes: bytes,
          isExact: unsafe entry.pointee.exact != 0 && byteCount == Int(entry.pointee.byte_total),
          wallMicroseconds: unsafe entry.pointee.wall_microseconds))
    }
    return records.sorted { $0.wallMicroseconds < $1.wallMicroseconds }
  }
  /// It is recorded where all nodes see it.
  public func forget(_ record: CrashRecord) {
    guard let entry = unsafe sw_evidence_pending(memory, Int32(record.place)) else { return }
    unsafe entry.pointee.busy = 0
  }
}

/// Says what the calling thread is about to decode; nothing on a thread without a slot. Two stores and a copy of the
/// name: no call of the kernel. `isExact`: the bytes are one piece that will come again as it is.
///
/// The bytes have to stay where they are until `letGo` or the next call.
@inline(__always) public func holdInHand(_ name: [UInt8], _ bytes: RawSpan, isExact: Bool) {
  unsafe name.withUnsafeBytes { name in
    unsafe bytes.withUnsafeBytes { bytes in
      // Sound: the name is copied at once; the bytes are only read by the handler of a crash before `letGo`.
      unsafe sw_evidence_hold(name.baseAddress, name.count, bytes.baseAddress, bytes.count, isExact ? 1 : 0)
    }
  }
}
@inline(__always) public func holdInHand(_ name: [UInt8], _ bytes: Span<UInt8>, isExact: Bool) {
  unsafe name.withUnsafeBytes { name in
    unsafe bytes.withUnsafeBytes { bytes in
      // Sound: as above.
      unsafe sw_evidence_hold(name.baseAddress, name.count, bytes.baseAddress, bytes.count, isExact ? 1 : 0)
    }
  }
}
/// The same where there are no bytes to keep.
public func holdInHand(_ name: [UInt8]) {
  unsafe name.withUnsafeBytes { name in
    // Sound: the name is copied at once.
    unsafe sw_evidence_hold(name.baseAddress, name.count, nil, 0, 0)
  }
}
/// Nothing is in hand any more.
@inline(__always) public func letGo() { sw_evidence_let_go() }
