// What one source has made and not yet seen acknowledged, as bytes ready to be sent again.

/// A bounded run of numbered records. `acked` < everything held <= `made`; bytes before `sent` are on their way.
struct Backlog {
  /// Last acknowledged and last made record; 0 before the first.
  private(set) var acked: Int64 = 0
  private(set) var made: Int64 = 0
  /// Records a connection may have unacknowledged, as the node said.
  var window: Int64 = 65_536
  /// Records held at most.
  let capacity: Int64

  private(set) var bytes: [UInt8] = []
  private var lengths: [UInt16] = []
  // Offset of the first unacknowledged record in `bytes`, and its index in `lengths`.
  private var head = 0
  private var first = 0
  /// Next byte to send.
  private(set) var sent = 0
  // The end of what the window allows, always between two records, and the number of the record before it.
  private var limit = 0
  private var limitSeq: Int64 = 0

  init(capacity: Int64) { self.capacity = capacity }

  var unacknowledged: Int64 { made - acked }
  /// How many more records may be made now.
  var room: Int64 { capacity - unacknowledged }
  var unsentBytes: Int { bytes.count - sent }

  mutating func make(_ form: RecordForm, _ timestamp: [UInt8]) {
    let start = bytes.count
    made += 1
    form.append(made, timestamp, to: &bytes)
    lengths.append(UInt16(bytes.count - start))
  }

  /// Everything up to `seq` is stored; the number of records that this says for the first time.
  mutating func acknowledge(through seq: Int64) -> Int64 {
    // What was never made can't be acknowledged; the verification will find such rows.
    let through = min(seq, made)
    guard through > acked else { return 0 }
    let count = Int(through - acked)
    for index in first..<(first + count) { head += Int(lengths[index]) }
    first += count
    acked = through
    if sent < head { sent = head }
    if limit < head { (limit, limitSeq) = (head, acked) }
    // Rarely enough that moving the rest costs little.
    if head > max(1 << 20, bytes.count / 2) || head == bytes.count { compact() }
    return Int64(count)
  }

  /// A connection begins: everything behind the last acknowledged record is sent again.
  mutating func rewind() {
    sent = head
    (limit, limitSeq) = (head, acked)
  }

  /// The offset up to which may be sent now.
  mutating func sendableEnd() -> Int {
    let last = min(made, acked + window)
    if limitSeq < last {
      // Mostly all of it.
      if last == made {
        limit = bytes.count
      } else {
        let base = first + Int(limitSeq - acked)
        for index in base..<(base + Int(last - limitSeq)) { limit += Int(lengths[index]) }
      }
      limitSeq = last
    }
    return limit
  }
  /// Last record that is sent in full once all up to `sendableEnd` is.
  var lastSendable: Int64 { limitSeq }
  mutating func wrote(_ count: Int) { sent += count }

  private mutating func compact() {
    bytes.removeSubrange(..<head)
    lengths.removeSubrange(..<first)
    sent -= head
    limit -= head
    head = 0
    first = 0
  }
}
