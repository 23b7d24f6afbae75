// Words of the command line to options and operands, against a description that help and completion are made of too.

/// One option of a command.
struct OptionSpec: Equatable, Sendable {
  /// `--to`, `-t`; the first is the one that is asked for.
  var names: [String]
  /// What its value is called in help; nil for a flag.
  var value: String?
  var help: String
  /// Values that shells offer.
  var choices: [String] = []
}

/// The shape of one command's line.
struct CommandSpec: Sendable {
  var name: String
  /// `[--to NODE]`
  var usage: String
  var summary: String
  var details = ""
  var options: [OptionSpec] = []
  var maximumOperands = 0
  /// Words that the first operand can be.
  var operands: [String] = []
}

/// A line that can't be understood; the sentence goes to the user with "see --help".
struct UsageError: Error, Equatable, CustomStringConvertible {
  var description: String
}

/// What the user wrote.
struct Arguments: Equatable, Sendable {
  private(set) var operands: [String] = []
  private var values: [String: String] = [:]

  func has(_ name: String) -> Bool { values[name] != nil }
  subscript(name: String) -> String? { values[name] }

  /// A whole number within `range`; nil when the option is absent.
  func integer(_ name: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
    guard let text = values[name] else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw UsageError(
        description: "\(name) takes a whole number from \(range.lowerBound) to \(range.upperBound), not \"\(text)\"")
    }
    return number
  }

  /// `--name value`, `--name=value`, `-n value`, `-nvalue`; `--` ends the options.
  init(_ words: [String], of command: CommandSpec) throws(UsageError) {
    let options = command.options + globalOptions
    var index = 0
    var onlyOperands = false
    func take(_ option: OptionSpec, _ written: String, _ attached: String?) throws(UsageError) {
      let name = option.names[0]
      if option.value == nil {
        guard attached == nil else { throw UsageError(description: "\(written) takes no value") }
        values[name] = ""
        return
      }
      if let attached {
        values[name] = attached
      } else {
        guard index < words.count else {
          throw UsageError(description: "\(written) needs a value (\(option.value ?? ""))")
        }
        values[name] = words[index]
        index += 1
      }
      guard values[name] != "" else { throw UsageError(description: "\(written) needs a value that is not empty") }
      if !option.choices.isEmpty, let value = values[name], !option.choices.contains(value) {
        throw UsageError(
          description: "\(written) is one of \(option.choices.joined(separator: ", ")), not \"\(value)\"")
      }
    }
    while index < words.count {
      let word = words[index]
      index += 1
      if onlyOperands || word == "-" || !word.hasPrefix("-") {
        operands.append(word)
      } else if word == "--" {
        onlyOperands = true
      } else if word.hasPrefix("--") {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let option = options.first(where: { $0.names.contains(parts[0]) }) else {
          throw unknownOption(parts[0], options, command)
        }
        try take(option, parts[0], parts.count == 2 ? parts[1] : nil)
      } else {
        let short = String(word.prefix(2))
        guard let option = options.first(where: { $0.names.contains(short) }) else {
          throw unknownOption(short, options, command)
        }
        try take(option, short, word.count > 2 ? String(word.dropFirst(2)) : nil)
      }
    }
    if operands.count > command.maximumOperands, !has("--help") {
      throw UsageError(description: "\(command.name): \"\(operands[command.maximumOperands])\" is one word too many")
    }
  }
}

private func unknownOption(_ word: String, _ options: [OptionSpec], _ command: CommandSpec) -> UsageError {
  let hint = nearest(to: word, of: options.flatMap(\.names).filter { $0.hasPrefix("--") })
  let meant = hint.map { "; did you mean \($0)?" } ?? ""
  return UsageError(description: "\(command.name) has no option \(word)\(meant)")
}

/// Understood by every command.
let globalOptions: [OptionSpec] = [
  OptionSpec(
    names: ["--config", "-c"], value: "FILE",
    help: "node's configuration (default $STANDWATCH_CONFIG or \(defaultPath))"),
  OptionSpec(
    names: ["--connection"], value: "STRING",
    help: "reach PostgreSQL by this libpq string instead of the configured one"),
  OptionSpec(names: ["--help", "-h"], value: nil, help: "show this text"),
]
let defaultPath = "/etc/standwatch/node.json5"

/// The word that was probably meant; nil when none is near.
func nearest(to word: String, of known: [String]) -> String? {
  let near = known.map { (distance: editDistance(word, $0), word: $0) }.min { $0.distance < $1.distance }
  guard let near, near.distance <= max(1, word.count / 3) || near.word.hasPrefix(word) else { return nil }
  return near.word
}

/// Levenshtein's, in bytes.
func editDistance(_ a: String, _ b: String) -> Int {
  let right = Array(b.utf8)
  var row = Array(0...right.count)
  for (line, byte) in a.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = line + 1
    for column in right.indices {
      let above = row[column + 1]
      row[column + 1] = min(above + 1, row[column] + 1, diagonal + (byte == right[column] ? 0 : 1))
      diagonal = above
    }
  }
  return row[right.count]
}
