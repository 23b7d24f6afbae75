import Configuration
import Platform
import Testing

@testable import Agent

private func problem(_ text: String) -> String {
  do throws(ConfigurationError) {
    _ = try AgentSettings.parse(Array(text.utf8), file: "agent.json5")
    return "none"
  } catch {
    return error.description
  }
}

@Test func `a configuration that names a server is enough`() throws {
  let settings = try AgentSettings.parse(Array("{ servers: ['10.0.0.100'] }".utf8), file: "agent.json5")
  #expect(settings.servers == [SocketAddress(text: "10.0.0.100:7400")])
  #expect(settings.host == hostName())
  #expect(settings.source == "\(hostName())/agent")
  #expect(settings.listen.unix == "/run/standwatch-agent/records.sock")
}

@Test(arguments: [
  ("{ servers: ['10.0.0.100'], spol: {} }", "Did you mean \"spool\"?"),
  ("{ servers: ['10.0.0.100'], spool: { byte: 1 } }", "Did you mean \"bytes\"?"),
  ("{ servers: [] }", "needs 1 to 8 addresses"),
  ("{ }", "Write servers: [\"10.0.0.100:7400\"]"),
  ("{ servers: ['node.example'] }", "not a numeric address"),
  ("{ servers: ['10.0.0.100'], listen: { tcp: ['0.0.0.0:7404'] } }", "not a loopback address"),
  ("{ servers: ['10.0.0.100'], listen: { unix: 'here.sock' } }", "Begin it with /"),
  ("{ servers: ['10.0.0.100'], spool: { bytes: 100 } }", "whole number from 1048576"),
  ("{ servers: ['10.0.0.100'], logLevel: 'loud' }", "is not a level"),
  ("{ servers: ['10.0.0.100'", "is not JSON5"),
]) func `a mistake is named with its mend`(text: String, sentence: String) {
  #expect(problem(text).contains(sentence), "\(problem(text))")
}
