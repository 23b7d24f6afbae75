// What the entry point calls.
internal import Configuration
internal import Platform

/// `standwatch-agent --check`: reads and checks the configuration; the process's exit status.
public func checkAgentConfiguration(path: String) -> Int32 {
  do {
    let settings = try AgentSettings.load(path: path)
    print("\(path): agent of host \(settings.host), sending to \(settings.servers[0]), as it should be")
    return 0
  } catch {
    print(error)
    return 78
  }
}
