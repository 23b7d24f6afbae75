// Why a line is refused, in words for whoever sent it.

/// Fields of records, by their name in JSON. The raw value is the field's bit in a mask.
public enum Field: UInt8, CaseIterable, Sendable {
  case seq, type, ts, host, app
  case queue, depth, enqueued, dequeued, capacity, oldestMs
  case txn, step, status, elapsedUs, attrs
  case job, durationUs, cpuUs, sqlUs
  case name, value, labels
  case severity, message
  case kind
  case process, state, pid, upMs, restarts, cpu, memory, threads
  case method, path, code, bytes, client, session, referrer, agent
  case trace, span, parent

  /// As it is written in a line.
  public var text: String {
    switch self {
    case .oldestMs: "oldest_ms"
    case .elapsedUs: "elapsed_us"
    case .durationUs: "duration_us"
    case .cpuUs: "cpu_us"
    case .sqlUs: "sql_us"
    case .upMs: "up_ms"
    default: "\(self)"
    }
  }
  @inline(__always) var bit: UInt64 { 1 &<< UInt64(rawValue) }
}

/// What is wrong; thrown by the scanning functions, which know no fields.
public enum FaultKind: UInt8, Error, Equatable, Sendable {
  case syntax, trailing, unknownField, unknownType, repeated, foreign, missing
  case notText, notWhole, negative, tooLarge, notANumber, notFinite, notAnObject, notASeverity
  case notACode, notATrace, notASpan, notASpanKind
  case notUTF8, controlCharacter, badEscape, zeroCharacter, loneSurrogate
  case tooDeep, badTime, timeOutOfRange, nameLength, nameCollision, tooLong
  case tooManyNames, tooManyLabelSets
  case notAnArray, notHex, notBase64

  /// In words.
  public var reason: String { text }
  var text: String {
    switch self {
    case .syntax: "not valid JSON"
    case .trailing: "something follows the record"
    case .unknownField: "no record type has this field"
    case .unknownType: "type has to be queue, step, job, metric, log, event, process, web or span"
    case .repeated: "the field comes twice"
    case .foreign: "the record's type has no such field"
    case .missing: "the field is missing"
    case .notText: "has to be a string"
    case .notWhole: "has to be a whole number"
    case .negative: "can't be negative"
    case .tooLarge: "does not fit 64 bits"
    case .notANumber: "has to be a number"
    case .notFinite: "is too large for a double"
    case .notAnObject: "has to be an object"
    case .notASeverity: "has to be 0 to 7 or a syslog name"
    case .notACode: "has to be 100 to 599"
    case .notATrace: "has to be 32 hexadecimal digits that are not all zero"
    case .notASpan: "has to be 16 hexadecimal digits that are not all zero"
    case .notASpanKind: "has to be internal, server, client, producer or consumer"
    case .notUTF8: "not valid UTF-8"
    case .controlCharacter: "holds a control character"
    case .badEscape: "not a valid escape"
    case .zeroCharacter: "\\u0000 can't be stored"
    case .loneSurrogate: "half of a surrogate pair"
    case .tooDeep: "nested too deeply"
    case .badTime: "has to be an RFC 3339 time with zone"
    case .timeOutOfRange: "is outside of the accepted range"
    case .nameLength: "has to have 1 to 200 bytes"
    case .nameCollision: "has the id of another name"
    case .tooManyNames: "is a new name, and its source has brought too many in this hour"
    case .tooManyLabelSets: "are a new set of labels, and their source has brought too many in this hour"
    case .tooLong: "the line is too long"
    case .notAnArray: "has to be an array"
    case .notHex: "has to be pairs of hexadecimal digits"
    case .notBase64: "has to be base64"
    }
  }
}

/// A refusal: what, in which field, and at which byte of the line (from 0).
public struct LineFault: Error, Equatable, Sendable {
  public var kind: FaultKind
  public var field: Field?
  public var offset: Int
  public init(_ kind: FaultKind, field: Field? = nil, offset: Int = 0) {
    (self.kind, self.field, self.offset) = (kind, field, offset)
  }
  public var description: String { (field.map { $0.text + ": " } ?? "") + kind.text + " (byte \(offset))" }
}
