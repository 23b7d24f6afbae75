// Deliveries into batches, from where the last batch ended.

/// Turns the records of deliveries into rows; owned by one thread.
public struct DeliveryEncoder: ~Copyable {
  public var names: Names
  /// Records with another time are refused.
  public var window: TimeWindow

  /// Bytes of the longest line accepted.
  public let maxLine: Int
  private var parser: RecordParser

  public init(window: TimeWindow, maxLine: Int = 65_536, namesLog2: Int = 14) {
    (self.window, self.maxLine) = (window, maxLine)
    parser = RecordParser(maxLine: maxLine)
    names = Names(capacityLog2: namesLog2)
  }

  /// Adds what follows record `index` of `delivery`, refused records included, until the batch has `rowLimit` rows or
  /// `byteLimit` bytes or is full of names. Answers where the next call goes on; each record gave one row.
  public mutating func add(
    _ delivery: Delivery, from index: Int, into batch: inout Batch, rowLimit: Int, byteLimit: Int,
    rejects: inout [DeliveryReject]
  ) -> Int {
    names.quota.begin(delivery.source)
    var next = index
    while next < delivery.count, batch.rowCount < rowLimit, batch.byteCount < byteLimit, !batch.isFullOfNames {
      if next < delivery.records.count {
        switch batch.add(
          delivery.records[next], stream: Batch.noStream, seq: 0, names: &names, window: window,
          source: delivery.source)
        {
        case .taken: break
        case .refused(let reason): rejects.append(DeliveryReject(index: next, reason: reason))
        }
      } else if next < delivery.records.count + delivery.lines.count {
        if let reason = addLine(next - delivery.records.count, of: delivery, into: &batch) {
          rejects.append(DeliveryReject(index: next, reason: reason))
        }
      } else {
        let fault = delivery.faults[next - delivery.records.count - delivery.lines.count]
        // Sound: bytes of UInt8 have no padding.
        unsafe batch.addRejected(
          stream: Batch.noStream, seq: 0, source: delivery.source, reason: fault.reason, raw: fault.raw.span.bytes)
        rejects.append(DeliveryReject(index: next, reason: fault.reason))
      }
      next += 1
    }
    return next
  }

  /// Adds a line as a row of its type, or as a refused one, whose reason it answers then.
  private mutating func addLine(_ number: Int, of delivery: Delivery, into batch: inout Batch) -> String? {
    let range = delivery.lines.ranges[number]
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe delivery.lines.bytes.span.bytes
    var fault = LineFault(.tooLong)
    if range.count <= maxLine {
      var at = range.lowerBound
      do throws(FaultKind) {
        try parser.parse(bytes, &at, end: range.upperBound)
        try parser.encode(bytes, &names, window, stream: Batch.noStream, into: &batch)
        return nil
      } catch {
        fault = LineFault(error, field: parser.field, offset: at - range.lowerBound)
      }
    }
    batch.addRejected(
      stream: Batch.noStream, seq: 0, source: delivery.source, reason: fault.description,
      raw: bytes.extracting(range))
    return fault.description
  }
}
