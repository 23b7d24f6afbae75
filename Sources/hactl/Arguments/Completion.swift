// Completion for bash and zsh, made of the commands' descriptions.

let completionSpec = CommandSpec(
  name: "completion", usage: "bash|zsh", summary: "print the completion script of a shell",
  details: """
    bash:  hactl completion bash > /etc/bash_completion.d/hactl
    zsh:   hactl completion zsh > /usr/local/share/zsh/site-functions/_hactl
    """,
  maximumOperands: 1, operands: ["bash", "zsh"])

func completion(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  switch arguments.operands.first {
  case "bash": tool.print(bashCompletion())
  case "zsh": tool.print(zshCompletion())
  default: throw UsageError(description: "completion needs the name of a shell: bash or zsh")
  }
  return ExitCode.done
}

private func words(_ command: CommandSpec) -> String {
  (command.operands + (command.options + globalOptions).flatMap(\.names).filter { $0.hasPrefix("--") })
    .joined(separator: " ")
}

func bashCompletion() -> String {
  var cases = ""
  for command in commands { cases += "    \(command.spec.name)) words='\(words(command.spec))' ;;\n" }
  return """
    # bash completion of hactl
    _hactl() {
      local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=
      COMPREPLY=()
      case $previous in
        --config|-c|--sql) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
      esac
      if [ "$COMP_CWORD" -eq 1 ]; then
        words='\(commands.map(\.spec.name).joined(separator: " ")) --help --version'
      else
        case ${COMP_WORDS[1]} in
    \(cases)    esac
      fi
      mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    }
    complete -F _hactl hactl

    """
}

func zshCompletion() -> String {
  func quoted(_ text: String) -> String {
    text.replacing("'", with: "'\\''").replacing("[", with: "\\[").replacing("]", with: "\\]").replacing(
      ":", with: "\\:")
  }
  var cases = ""
  for command in commands {
    var parts: [String] = []
    for option in command.spec.options + globalOptions {
      for name in option.names {
        let value = option.value.map { ":\($0.lowercased()):\($0 == "FILE" || $0 == "DIR" ? "_files" : "")" } ?? ""
        parts.append("'\(name)[\(quoted(option.help))]\(value)'")
      }
    }
    if !command.spec.operands.isEmpty {
      parts.append("'1:word:(\(command.spec.operands.joined(separator: " ")))'")
    }
    cases += "    \(command.spec.name)) _arguments \(parts.joined(separator: " ")) ;;\n"
  }
  let names = commands.map { "'\($0.spec.name):\(quoted($0.spec.summary))'" }.joined(separator: " ")
  return """
    #compdef hactl
    _hactl() {
      if (( CURRENT == 2 )); then
        local -a names
        names=(\(names))
        _describe command names
        return
      fi
      local name=${words[2]}
      shift words
      (( CURRENT-- ))
      case $name in
    \(cases)  esac
    }
    _hactl "$@"

    """
}
