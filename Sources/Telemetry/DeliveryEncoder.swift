// Deliveries into batches, from where the last batch ended.

/// Turns the records of deliveries into rows; owned by one thread.
public struct DeliveryEncoder: ~Copyable {
  public var names: Names
  /// Records with another time are refused.
  public var window: TimeWindow

  public init(window: TimeWindow, namesLog2: Int = 14) {
    self.window = window
    names = Names(capacityLog2: namesLog2)
  }

  /// Adds what follows record `index` of `delivery`, refused records included, until the batch has `rowLimit` rows or
  /// `byteLimit` bytes or is full of names. Answers where the next call goes on; each record gave one row.
  public mutating func add(
    _ delivery: Delivery, from index: Int, into batch: inout Batch, rowLimit: Int, byteLimit: Int,
    rejects: inout [DeliveryReject]
  ) -> Int {
    var next = index
    while next < delivery.count, batch.rowCount < rowLimit, batch.byteCount < byteLimit, !batch.isFullOfNames {
      if next < delivery.records.count {
        let record = delivery.records[next]
        if let reason = batch.add(record, &names, window, source: delivery.source) {
          rejects.append(DeliveryReject(index: next, reason: reason))
        }
      } else {
        let fault = delivery.faults[next - delivery.records.count]
        // Sound: bytes of UInt8 have no padding.
        unsafe batch.addRejected(
          stream: Batch.noStream, seq: 0, source: delivery.source, reason: fault.reason, raw: fault.raw.span.bytes)
        rejects.append(DeliveryReject(index: next, reason: fault.reason))
      }
      next += 1
    }
    return next
  }
}

extension Batch {
  mutating func add(_ record: Record, _ names: inout Names, _ window: TimeWindow, source: String) -> String? {
    func name(_ kind: NameKind, _ text: String, _ names: inout Names, _ batch: inout Batch) -> Int64 {
      let id = NameHash.id(of: text.utf8)
      let bytes = Array(text.utf8) + [UInt8](repeating: 0, count: 16)
      if case .new = unsafe names.note(kind, id, bytes.span.bytes, 0, text.utf8.count) {
        unsafe batch.addName(kind, id, bytes.span.bytes.extracting(0..<text.utf8.count))
      }
      return id
    }
    guard case .queue(let queue) = record.body, window.from <= record.time, record.time < window.until else {
      let raw: [UInt8] = []
      unsafe addRejected(stream: Batch.noStream, seq: 0, source: source, reason: "no", raw: raw.span.bytes)
      return "no"
    }
    let (app, host) = (name(.app, record.app, &names, &self), name(.host, record.host, &names, &self))
    let id = name(.queue, queue.queue, &names, &self)
    add(.queue, stream: Batch.noStream, seq: 0) { row in
      row.reserve(192)
      row.putColumnCount(11)
      row.put(record.time)
      row.put(app)
      row.put(host)
      row.put(id)
      row.put(queue.depth)
      for _ in 0..<6 { row.putNull() }
    }
    return nil
  }
}
