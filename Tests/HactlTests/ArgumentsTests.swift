// The command line: every form of an option, and mistakes answered with a hint.
import Testing

@testable import hactl

private let spec = CommandSpec(
  name: "try", usage: "", summary: "",
  options: [
    OptionSpec(names: ["--to", "-t"], value: "NODE", help: ""),
    OptionSpec(names: ["--json", "-j"], value: nil, help: ""),
    OptionSpec(names: ["-n", "--count"], value: "COUNT", help: ""),
    OptionSpec(names: ["--shape"], value: "SHAPE", help: "", choices: ["round", "square"]),
  ], maximumOperands: 1)

private func parse(_ words: String...) throws(UsageError) -> Arguments { try Arguments(words, of: spec) }

@Suite struct `Arguments of hactl` {
  @Test func `an option's value may be attached, follow, or be joined by an equals sign`() throws {
    #expect(try parse("--to", "b")["--to"] == "b")
    #expect(try parse("--to=b")["--to"] == "b")
    #expect(try parse("-tb")["--to"] == "b")
    #expect(try parse("-t", "b")["--to"] == "b")
    #expect(try parse("--count", "7").integer("-n", in: 1...9) == 7)
    #expect(try parse("--connection=host=x dbname=y")["--connection"] == "host=x dbname=y")
  }
  @Test func `flags and operands keep apart, and two dashes end the options`() throws {
    let some = try parse("-j", "word")
    #expect(some.has("--json") && some.operands == ["word"])
    #expect(try parse("--", "--json").operands == ["--json"])
    #expect(try !parse("--", "--json").has("--json"))
    #expect(try parse("-").operands == ["-"])
  }
  @Test(arguments: [
    (["--too", "b"], "did you mean --to?"), (["--to"], "needs a value"), (["--to", ""], "not empty"),
    (["--json=1"], "takes no value"), (["a", "b"], "one word too many"), (["--shape", "oval"], "one of round, square"),
    (["-x"], "has no option -x"),
  ])
  func `a mistake is answered with what is wrong`(words: [String], hint: String) {
    let error = #expect(throws: UsageError.self) { try Arguments(words, of: spec) }
    #expect(error?.description.contains(hint) == true, "\(error?.description ?? "")")
  }
  @Test func `a number out of range is refused by name`() throws {
    let arguments = try parse("-n", "70")
    let error = #expect(throws: UsageError.self) { try arguments.integer("-n", in: 1...9) }
    #expect(error?.description == "-n takes a whole number from 1 to 9, not \"70\"")
  }
  @Test func `a word that is near is suggested, and one that is not is not`() {
    #expect(nearest(to: "swichover", of: ["status", "switchover"]) == "switchover")
    #expect(nearest(to: "stat", of: ["status", "switchover"]) == "status")
    #expect(nearest(to: "xyzzy", of: ["status", "switchover"]) == nil)
    #expect(editDistance("kitten", "sitting") == 3)
  }
  @Test func `every command has a summary, and its help names every option`() {
    for command in commands {
      #expect(!command.spec.summary.isEmpty)
      let help = helpText(command.spec)
      for option in command.spec.options {
        #expect(help.contains(option.names.joined(separator: ", ")), "\(command.spec.name)")
        #expect(!option.help.isEmpty)
      }
      #expect(helpText().contains(command.spec.name))
    }
  }
  @Test(arguments: [
    ([], ExitCode.usage), (["--help"], ExitCode.done), (["--version"], ExitCode.done), (["statsu"], ExitCode.usage),
    (["drill", "explode"], ExitCode.usage), (["status", "--nope"], ExitCode.usage),
    (["pause", "--help"], ExitCode.done),
    (["status", "--config", "/nowhere/node.json5"], ExitCode.configuration), (["completion"], ExitCode.usage),
  ])
  func `exit codes are as documented`(words: [String], code: Int32) {
    #expect(runTool(words) == code)
  }
}
