// Help texts, made of the commands' descriptions.

func helpText() -> String {
  let width = (commands.map(\.spec.name.count).max() ?? 0) + 2
  var text = "hactl: operates a Standwatch cluster\n\nUsage: hactl COMMAND [OPTION...]\n\nCommands:\n"
  for command in commands { text += "  \(padded(command.spec.name, width))\(command.spec.summary)\n" }
  text += "\nOptions of every command:\n" + optionLines(globalOptions)
  text += "  \(padded("--version", 22))show the version\n"
  text += """

    Exit codes:
      0   done; "status": an active node serves; "doctor": all is well
      1   it did not work, was refused, or something is wrong ("doctor": only warnings)
      2   "doctor" found an error; "drill": records were lost or doubled
      64  the command line is wrong
      69  neither the node nor PostgreSQL could be reached
      77  the rights of another user are needed (most often root's)
      78  the configuration is wrong

    "hactl COMMAND --help" says more. Start with "hactl status" and "hactl doctor".

    """
  return text
}

func helpText(_ command: CommandSpec) -> String {
  var text = "Usage: hactl \(command.name)\(command.usage.isEmpty ? "" : " " + command.usage)\n\n\(command.summary)\n"
  if !command.details.isEmpty { text += "\n\(command.details)\n" }
  text += "\nOptions:\n" + optionLines(command.options + globalOptions)
  return text
}

private func optionLines(_ options: [OptionSpec]) -> String {
  options.map { option in
    let names = option.names.joined(separator: ", ") + (option.value.map { " \($0)" } ?? "")
    return "  \(padded(names, 22))\(option.help)\n"
  }.joined()
}

func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(1, width - text.count))
}
