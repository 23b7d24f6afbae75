// The JSON encoding of OTLP to Protocol Buffers: one recursive descent along the schema, bounded in depth and output.
//
// Deviations from plain proto3 JSON are the specification's: identifiers in hexadecimal, enumerations as numbers alone,
// unknown fields passed over. 64-bit numbers come as strings or numbers. Strings are as strict as RFC 8259 and 3629
// want them; \u0000 becomes U+FFFD as in the binary encoding.

/// Messages inside of each other, as in the implementations of Protocol Buffers.
private let greatestDepth = 128

struct OTLPJSON {
  private var at = 0
  private var depth = 0
  private var out = WireWriter()
  private var text: [UInt8] = []
  private let most: Int

  private init(most: Int) { self.most = most }

  /// The same request in Protocol Buffers; at most `most` bytes.
  static func wireBytes(of body: [UInt8], _ signal: OTLPSignal, most: Int) throws(OTLPFault) -> [UInt8] {
    let most = min(most, 1 << 26)
    if body.count > most { throw .tooMuch }
    // Every scan ends at a zero byte at the latest: nothing in JSON begins with one or holds one.
    let padded = body + Array(repeating: 0, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    var parser = OTLPJSON(most: most)
    do throws(FaultKind) {
      parser.skipSpace(bytes)
      try parser.message(OTLPMessage(signal), bytes)
      parser.skipSpace(bytes)
      if parser.at != body.count { throw .trailing }
    } catch {
      if error == .tooLong { throw .tooMuch }
      throw .json(error, byte: min(parser.at, body.count))
    }
    return parser.out.bytes
  }

  // MARK: along the schema

  private mutating func message(_ message: OTLPMessage, _ bytes: RawSpan) throws(FaultKind) {
    guard take(UInt8(ascii: "{"), bytes, &at) else { throw .notAnObject }
    depth += 1
    if depth > greatestDepth { throw .tooDeep }
    // By number: all are below 32.
    var seen: UInt32 = 0
    skipSpace(bytes)
    if !take(UInt8(ascii: "}"), bytes, &at) {
      repeat {
        skipSpace(bytes)
        try string(bytes)
        let field = OTLPMessage.fields[message]?[String(decoding: text, as: UTF8.self)]
        skipSpace(bytes)
        guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
        skipSpace(bytes)
        if let field {
          if seen & 1 << field.number != 0 { throw .repeated }
          seen |= 1 << field.number
          if byte(bytes, at) == UInt8(ascii: "n") { try literal("null", bytes) } else { try value(field, bytes) }
        } else {
          try skip(bytes)
        }
        skipSpace(bytes)
      } while take(UInt8(ascii: ","), bytes, &at)
      guard take(UInt8(ascii: "}"), bytes, &at) else { throw .syntax }
    }
    depth -= 1
  }

  private mutating func value(_ field: OTLPField, _ bytes: RawSpan) throws(FaultKind) {
    let number = field.number
    // Checked here for everything: what one value adds beyond its own bytes is little.
    if out.bytes.count > most { throw .tooLong }
    switch field.form {
    case .string: put(number, try read(bytes))
    case .hex: put(number, try hex(try read(bytes)))
    case .base64: put(number, try OTLPJSON.base64(try read(bytes)))
    case .bool: out.varint(number, try bool(bytes) ? 1 : 0)
    case .int64: out.varint(number, UInt64(bitPattern: try signed(bytes)))
    case .uint32: out.varint(number, try unsigned(bytes, most: UInt64(UInt32.max)))
    case .sint32:
      let value = try int32(bytes)
      out.varint(number, UInt64(UInt32(bitPattern: value << 1 ^ value >> 31)))
    case .enumeration:
      if byte(bytes, at) == UInt8(ascii: "\"") { throw .notANumber }
      out.varint(number, UInt64(bitPattern: Int64(try int32(bytes))))
    case .fixed64: out.fixed64(number, try unsigned(bytes, most: .max))
    case .sfixed64: out.fixed64(number, UInt64(bitPattern: try signed(bytes)))
    case .fixed32: out.fixed32(number, UInt32(truncatingIfNeeded: try unsigned(bytes, most: UInt64(UInt32.max))))
    case .double: out.fixed64(number, try double(bytes).bitPattern)
    case .fixed64s:
      try packed(number, bytes) { (parser, bytes) throws(FaultKind) in
        parser.out.append(fixed64: try parser.unsigned(bytes, most: .max))
      }
    case .doubles:
      try packed(number, bytes) { (parser, bytes) throws(FaultKind) in
        parser.out.append(fixed64: try parser.double(bytes).bitPattern)
      }
    case .uint64s:
      try packed(number, bytes) { (parser, bytes) throws(FaultKind) in
        parser.out.append(varint: try parser.unsigned(bytes, most: .max))
      }
    case .message(let inner): try nested(number, inner, bytes)
    case .messages(let inner):
      try elements(bytes) { (parser, bytes) throws(FaultKind) in try parser.nested(number, inner, bytes) }
    }
  }
  private mutating func nested(_ number: UInt32, _ inner: OTLPMessage, _ bytes: RawSpan) throws(FaultKind) {
    if out.bytes.count > most { throw .tooLong }
    let start = out.begin(number)
    try message(inner, bytes)
    out.end(start)
  }
  private mutating func packed(
    _ number: UInt32, _ bytes: RawSpan, _ one: (inout OTLPJSON, RawSpan) throws(FaultKind) -> Void
  ) throws(FaultKind) {
    let start = out.begin(number)
    try elements(bytes, one)
    out.end(start)
  }
  private mutating func elements(
    _ bytes: RawSpan, _ one: (inout OTLPJSON, RawSpan) throws(FaultKind) -> Void
  ) throws(FaultKind) {
    guard take(UInt8(ascii: "["), bytes, &at) else { throw .notAnArray }
    skipSpace(bytes)
    if take(UInt8(ascii: "]"), bytes, &at) { return }
    repeat {
      if out.bytes.count > most { throw .tooLong }
      skipSpace(bytes)
      try one(&self, bytes)
      skipSpace(bytes)
    } while take(UInt8(ascii: ","), bytes, &at)
    guard take(UInt8(ascii: "]"), bytes, &at) else { throw .syntax }
  }
  private mutating func put(_ number: UInt32, _ value: [UInt8]) {
    let start = out.begin(number)
    for byte in value { out.append(byte) }
    out.end(start)
  }

  // MARK: strings

  private mutating func read(_ bytes: RawSpan) throws(FaultKind) -> [UInt8] {
    if byte(bytes, at) != UInt8(ascii: "\"") { throw .notText }
    try string(bytes)
    return text
  }
  /// Reads a string to `text`, as UTF-8.
  private mutating func string(_ bytes: RawSpan) throws(FaultKind) {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .syntax }
    text.removeAll(keepingCapacity: true)
    while true {
      let c = byte(bytes, at)
      switch c {
      case UInt8(ascii: "\""):
        at += 1
        return
      case UInt8(ascii: "\\"):
        if prefix(word(bytes, at), 6) == key("\\u0000") {
          text += [0xef, 0xbf, 0xbd]
          at += 6
        } else if let scalar = Unicode.Scalar(try scanEscape(bytes, &at)) {
          text += Array(String(scalar).utf8)
        }
      case ..<0x20: throw .controlCharacter
      case 0x80...:
        let start = at
        try skipSequences(bytes, &at)
        for i in start..<at { text.append(byte(bytes, i)) }
      default:
        text.append(c)
        at += 1
      }
    }
  }
  private func hex(_ digits: [UInt8]) throws(FaultKind) -> [UInt8] {
    if digits.count % 2 != 0 { throw .notHex }
    var out: [UInt8] = []
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let high = Character(Unicode.Scalar(digits[i])).hexDigitValue,
        let low = Character(Unicode.Scalar(digits[i + 1])).hexDigitValue
      else { throw .notHex }
      out.append(UInt8(high << 4 | low))
    }
    return out
  }
  /// RFC 4648, either alphabet, with or without padding.
  static func base64(_ text: [UInt8]) throws(FaultKind) -> [UInt8] {
    var out: [UInt8] = []
    var (bits, count): (UInt32, Int) = (0, 0)
    let padded = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    let digits = text.count - padded
    if padded > 2 || padded > 0 && text.count % 4 != 0 || digits % 4 == 1 { throw .notBase64 }
    for digit in text.prefix(digits) {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = digit - 65
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = digit - 71
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit + 4
      case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
      case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
      default: throw .notBase64
      }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return out
  }

  // MARK: numbers

  private mutating func bool(_ bytes: RawSpan) throws(FaultKind) -> Bool {
    if byte(bytes, at) == UInt8(ascii: "t") {
      try literal("true", bytes)
      return true
    }
    try literal("false", bytes)
    return false
  }
  /// What a number says, whether it is one or a string that holds one.
  private mutating func quoted<T>(
    _ bytes: RawSpan, _ scan: (inout OTLPJSON, RawSpan) throws(FaultKind) -> T
  ) throws(FaultKind) -> T {
    let isQuoted = take(UInt8(ascii: "\""), bytes, &at)
    let value = try scan(&self, bytes)
    if isQuoted && !take(UInt8(ascii: "\""), bytes, &at) { throw .notANumber }
    return value
  }
  /// Sign and magnitude. `1.0` and `1e3` are whole numbers as well, as far as a double holds them exactly.
  private mutating func whole(_ bytes: RawSpan) throws(FaultKind) -> (isNegative: Bool, magnitude: UInt64) {
    try quoted(bytes) { (parser, bytes) throws(FaultKind) in
      var at = parser.at
      let number = try scanNumber(bytes, &at)
      if number.exponent == 0 {
        // Twenty digits can be more than 64 bits.
        if number.significant > 20 { throw .tooLarge }
        var value: UInt64 = 0
        for i in parser.at..<at where byte(bytes, i) >= 48 && byte(bytes, i) <= 57 {
          let (product, tooMuch) = value.multipliedReportingOverflow(by: 10)
          let (sum, carry) = product.addingReportingOverflow(UInt64(byte(bytes, i) - 48))
          if tooMuch || carry { throw .tooLarge }
          value = sum
        }
        parser.at = at
        return (number.isNegative, value)
      }
      let value = try scanDouble(bytes, &parser.at)
      guard let exact = UInt64(exactly: value.magnitude) else {
        throw value.magnitude < 18_446_744_073_709_551_616 ? .notWhole : .tooLarge
      }
      return (number.isNegative, exact)
    }
  }
  private mutating func unsigned(_ bytes: RawSpan, most: UInt64) throws(FaultKind) -> UInt64 {
    let (isNegative, magnitude) = try whole(bytes)
    if isNegative && magnitude != 0 { throw .negative }
    if magnitude > most { throw .tooLarge }
    return magnitude
  }
  private mutating func signed(_ bytes: RawSpan) throws(FaultKind) -> Int64 {
    let (isNegative, magnitude) = try whole(bytes)
    if magnitude > UInt64(Int64.max) + (isNegative ? 1 : 0) { throw .tooLarge }
    return Int64(truncatingIfNeeded: isNegative ? 0 &- magnitude : magnitude)
  }
  private mutating func int32(_ bytes: RawSpan) throws(FaultKind) -> Int32 {
    guard let value = Int32(exactly: try signed(bytes)) else { throw .tooLarge }
    return value
  }
  private mutating func double(_ bytes: RawSpan) throws(FaultKind) -> Double {
    for (name, value) in [("\"NaN\"", Double.nan), ("\"Infinity\"", .infinity), ("\"-Infinity\"", -.infinity)]
    where name.utf8.enumerated().allSatisfy({ byte(bytes, at + $0) == $1 }) {
      at += name.utf8.count
      return value
    }
    return try quoted(bytes) { (parser, bytes) throws(FaultKind) in try scanDouble(bytes, &parser.at) }
  }

  // MARK: what is passed over

  private mutating func skip(_ bytes: RawSpan) throws(FaultKind) {
    switch byte(bytes, at) {
    case UInt8(ascii: "\""): try string(bytes)
    case UInt8(ascii: "{"):
      at += 1
      try skipMembers(UInt8(ascii: "}"), bytes)
    case UInt8(ascii: "["):
      at += 1
      try skipMembers(UInt8(ascii: "]"), bytes)
    case UInt8(ascii: "t"): try literal("true", bytes)
    case UInt8(ascii: "f"): try literal("false", bytes)
    case UInt8(ascii: "n"): try literal("null", bytes)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): _ = try scanNumber(bytes, &at)
    default: throw .syntax
    }
  }
  private mutating func skipMembers(_ end: UInt8, _ bytes: RawSpan) throws(FaultKind) {
    depth += 1
    if depth > greatestDepth { throw .tooDeep }
    skipSpace(bytes)
    if !take(end, bytes, &at) {
      repeat {
        skipSpace(bytes)
        if end == UInt8(ascii: "}") {
          try string(bytes)
          skipSpace(bytes)
          guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
          skipSpace(bytes)
        }
        try skip(bytes)
        skipSpace(bytes)
      } while take(UInt8(ascii: ","), bytes, &at)
      guard take(end, bytes, &at) else { throw .syntax }
    }
    depth -= 1
  }
  private mutating func literal(_ literal: StaticString, _ bytes: RawSpan) throws(FaultKind) {
    guard prefix(word(bytes, at), literal.utf8CodeUnitCount) == key(literal) else { throw .syntax }
    at += literal.utf8CodeUnitCount
  }
  private mutating func skipSpace(_ bytes: RawSpan) {
    while case let c = byte(bytes, at), c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d { at += 1 }
  }
}
