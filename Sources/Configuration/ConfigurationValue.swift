// The text of a configuration as a tree, read strictly: every key is asked for once, and what was not is an error.
internal import FoundationEssentials

/// What is wrong with a configuration: the file, the key, why, and how to mend it.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  public var file: String
  public var key: String
  public var problem: String
  public var mend: String
  public init(file: String, key: String, problem: String, mend: String) {
    self.file = file
    self.key = key
    self.problem = problem
    self.mend = mend
  }
  public var description: String { "\(file): \(key.isEmpty ? "" : key + ": ")\(problem). \(mend)" }
}

/// Any JSON5 value.
public enum ConfigurationValue: Decodable, Equatable {
  case null, boolean(Bool), number(Double), text(String), list([ConfigurationValue]), object(
    [String: ConfigurationValue])

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  public init(from decoder: any Decoder) throws {
    if let container = try? decoder.container(keyedBy: Key.self) {  // not an object: one of the cases below
      var members: [String: ConfigurationValue] = [:]
      for key in container.allKeys {
        members[key.stringValue] = try container.decode(ConfigurationValue.self, forKey: key)
      }
      self = .object(members)
    } else if var container = try? decoder.unkeyedContainer() {  // not a list: a scalar
      var members: [ConfigurationValue] = []
      while !container.isAtEnd { members.append(try container.decode(ConfigurationValue.self)) }
      self = .list(members)
    } else {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .null
      } else if let value = try? container.decode(Bool.self) {  // the type decides; the last one throws
        self = .boolean(value)
      } else if let value = try? container.decode(Double.self) {
        self = .number(value)
      } else {
        self = .text(try container.decode(String.self))
      }
    }
  }

  /// `example` is the file that shows one that works, for the mend.
  public static func parse(_ bytes: [UInt8], file: String, example: String) throws(ConfigurationError)
    -> ConfigurationValue
  {
    // The decoder traps on a key without quotes that is none.
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw ConfigurationError(
        file: file, key: "", problem: "is not UTF-8", mend: "Save it as UTF-8; \(example) shows one that works")
    }
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      return try decoder.decode(ConfigurationValue.self, from: Data(bytes))
    } catch let DecodingError.dataCorrupted(context) {
      let reason = context.underlyingError.map { "\($0)" } ?? context.debugDescription
      throw ConfigurationError(
        file: file, key: "", problem: "is not JSON5 (\(reason))",
        mend: "Mend the text; \(example) shows one that works")
    } catch {
      throw ConfigurationError(
        file: file, key: "", problem: "cannot be read (\(error))",
        mend: "Mend the text; \(example) shows one that works")
    }
  }
}

/// One object of the configuration while it is read. `finish` refuses the keys that nobody asked for.
public struct ConfigurationSection {
  public let file: String
  public let path: String
  private let members: [String: ConfigurationValue]
  private var asked: Set<String> = []

  public init(_ value: ConfigurationValue, file: String, path: String) throws(ConfigurationError) {
    self.file = file
    self.path = path
    guard case .object(let members) = value else {
      throw ConfigurationError(file: file, key: path, problem: "has to be an object", mend: "Write { ... }")
    }
    self.members = members
  }

  public func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
  public func error(_ key: String, _ problem: String, _ mend: String) -> ConfigurationError {
    ConfigurationError(file: file, key: name(key), problem: problem, mend: mend)
  }

  public mutating func value(_ key: String) -> ConfigurationValue? {
    asked.insert(key)
    return members[key]
  }
  public mutating func text(_ key: String, example: String) throws(ConfigurationError) -> String {
    guard let text = try textIfAny(key) else { throw error(key, "is missing", "Add \(key): \"\(example)\"") }
    return text
  }
  public mutating func textIfAny(_ key: String) throws(ConfigurationError) -> String? {
    switch value(key) {
    case nil, .null: return nil
    case .text(let text) where !text.isEmpty: return text
    default: throw error(key, "has to be a text that is not empty", "Put it in quotes")
    }
  }
  public mutating func integer(_ key: String, in range: ClosedRange<Int>, default standard: Int)
    throws(ConfigurationError)
    -> Int
  {
    switch value(key) {
    case nil, .null: return standard
    case .number(let number) where number.rounded() == number && number.magnitude < 1e15 && range.contains(Int(number)):
      return Int(number)
    default:
      throw error(
        key, "has to be a whole number from \(range.lowerBound) to \(range.upperBound)", "The default is \(standard)")
    }
  }
  public mutating func boolean(_ key: String, default standard: Bool) throws(ConfigurationError) -> Bool {
    switch value(key) {
    case nil, .null: return standard
    case .boolean(let value): return value
    default: throw error(key, "has to be true or false", "The default is \(standard)")
    }
  }
  public mutating func texts(_ key: String) throws(ConfigurationError) -> [String]? {
    guard let values = try list(key) else { return nil }
    var texts: [String] = []
    for value in values {
      guard case .text(let text) = value else { throw error(key, "has to be a list of texts", "Write [\"...\"]") }
      texts.append(text)
    }
    return texts
  }
  public mutating func list(_ key: String) throws(ConfigurationError) -> [ConfigurationValue]? {
    switch value(key) {
    case nil, .null: return nil
    case .list(let values): return values
    default: throw error(key, "has to be a list", "Write [ ... ]")
    }
  }
  public mutating func section(_ key: String) throws(ConfigurationError) -> ConfigurationSection {
    try ConfigurationSection(value(key) ?? .object([:]), file: file, path: name(key))
  }

  /// Refuses the first key that was not asked for, and names the one that was probably meant.
  public func finish() throws(ConfigurationError) {
    guard let unknown = members.keys.filter({ !asked.contains($0) }).min() else { return }
    let near = asked.min { distance($0, unknown) < distance($1, unknown) }
    let hint = near.flatMap { distance($0, unknown) <= 3 ? "Did you mean \"\($0)\"? " : nil } ?? ""
    throw error(unknown, "is not a known key", hint + "Known here: \(asked.sorted().joined(separator: ", "))")
  }
}

/// Levenshtein distance, for suggestions.
func distance(_ a: String, _ b: String) -> Int {
  let other = Array(b.utf8)
  var row = Array(0...other.count)
  for (i, left) in a.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, right) in other.enumerated() {
      let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (left == right ? 0 : 1))
      diagonal = row[j + 1]
      row[j + 1] = next
    }
  }
  return row[other.count]
}
