// JSON as text, for reports.

/// A JSON value, written with its keys in the order given.
indirect enum JSON {
  case number(Double)
  case integer(Int64)
  case text(String)
  case flag(Bool)
  case null
  case list([JSON])
  case object([(key: String, value: JSON)])

  var written: String {
    switch self {
    case .number(let value): value.isFinite ? "\((value * 1000).rounded() / 1000)" : "null"
    case .integer(let value): "\(value)"
    case .text(let value): quotedJSON(value)
    case .flag(let value): value ? "true" : "false"
    case .null: "null"
    case .list(let values): "[" + values.map { $0.written }.joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { quotedJSON($0.key) + ":" + $0.value.written }.joined(separator: ",") + "}"
    }
  }
}

/// A text as a JSON string.
func quotedJSON(_ text: String) -> String {
  var written = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": written += "\\\""
    case "\\": written += "\\\\"
    case "\n": written += "\\n"
    case _ where scalar.value < 0x20:
      let digits = String(scalar.value, radix: 16)
      written += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: written.unicodeScalars.append(scalar)
    }
  }
  return written + "\""
}
