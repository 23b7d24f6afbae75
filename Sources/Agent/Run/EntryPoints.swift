// What the entry point calls besides `runAgent`.
internal import Configuration
internal import Platform

/// `standwatch-agent --check`: reads and checks the configuration, and looks whether this process's user can read what
/// is to be followed; the process's exit status: 78 for a wrong configuration, 1 when something can't be read.
public func checkAgentConfiguration(path: String) -> Int32 {
  do {
    let settings = try AgentSettings.load(path: path)
    print("\(path): agent of host \(settings.host), sending to \(settings.servers[0]), as it should be")
    let wrong = tlsTroubles(settings.tls)
    for each in wrong { print("! \(each.problem)\n  \(each.mend)") }
    let troubles = followTroubles(settings.follow)
    for each in troubles {
      print(each.isRefused ? "! \(each.path) can't be followed: \(each.reason)" : "? \(each.path): \(each.reason)")
      print("  \(each.mend)")
    }
    return !wrong.isEmpty || troubles.contains(where: \.isRefused) ? 1 : 0
  } catch {
    print(error)
    return 78
  }
}

/// `standwatch-agent --status`: 0 all is well, 1 something is wrong, 69 no agent answers.
public func printAgentStatus(configurationPath: String, asJSON: Bool) -> Int32 {
  let path: String
  do {
    path = try AgentSettings.load(path: configurationPath).listen.status
  } catch {
    print(error)
    return 78
  }
  var answer: [UInt8] = []
  do throws(SystemError) {
    guard let address = SocketAddress(unixPath: path) else { return 78 }
    let deadline = BootInstant.after(milliseconds: 2000)
    let socket = try connectStream(address, deadline: deadline)
    var buffer = [UInt8](repeating: 0, count: 16_384)
    reading: while answer.count < 1 << 20, !wait(socket.raw, for: .read, until: deadline).isEmpty {
      switch receive(socket.raw, into: &buffer) {
      case .done(let count): answer += buffer[0..<count]
      case .wouldBlock: continue
      case .closed: break reading
      case .failed(let code): throw SystemError(call: "read \(path)", code: code)
      }
    }
  } catch {
    print("no agent answers at \(path): \(errorText(error.code))")
    print("systemctl status standwatch-agent and journalctl -u standwatch-agent say more")
    return 69
  }
  guard let report = AgentReport(json: answer) else {
    print("what answers at \(path) is no agent of this version")
    return 69
  }
  print(asJSON ? String(decoding: answer, as: UTF8.self) : report.text, terminator: "")
  return report.problems.isEmpty ? 0 : 1
}
