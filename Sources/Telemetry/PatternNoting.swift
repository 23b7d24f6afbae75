// From a log message to the id of its pattern in the dictionary.

extension LogPattern {
  /// Id of the pattern of the message `start..<start + count` of a padded buffer; noted where it is new.
  ///
  /// Never a reason to refuse the message: a pattern that may not be stored goes by "(other)".
  @inline(__always) mutating func note(
    _ source: RawSpan, _ start: Int, _ count: Int, _ names: inout Names, _ batch: inout Batch
  ) -> Int64 {
    make(source, start, count)
    return noteMade(&names, &batch) ?? noteOther(&names, &batch)
  }
  @inline(never) private mutating func noteOther(_ names: inout Names, _ batch: inout Batch) -> Int64 {
    makeOther()
    // Sound: bytes of UInt8 have no padding.
    let source = unsafe bytes.span.bytes
    let id = NameHash.id(source, 0, count)
    if names.note(.pattern, id, source, 0, count) == .new {
      batch.addName(.pattern, id, source.extracting(0..<count))
    }
    return id
  }
  @inline(__always) private func noteMade(_ names: inout Names, _ batch: inout Batch) -> Int64? {
    // Sound: bytes of UInt8 have no padding.
    let source = unsafe bytes.span.bytes
    let id = NameHash.id(source, 0, count)
    switch names.notePattern(id, source, count) {
    case .known: return id
    case .new:
      batch.addName(.pattern, id, source.extracting(0..<count))
      return id
    case .collision, .refused, nil: return nil
    }
  }
}
