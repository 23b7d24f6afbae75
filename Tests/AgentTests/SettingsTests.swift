import Configuration
import Platform
import Telemetry
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

@Test func `what is measured and followed is read from the configuration, and has defaults`() throws {
  func settings(_ text: String) throws -> AgentSettings {
    try AgentSettings.parse(Array("{ servers: ['10.0.0.100'], \(text) }".utf8), file: "agent.json5")
  }
  let plain = try settings("")
  #expect(plain.collect.host == HostSettings() && plain.collect.processes.isEmpty && plain.follow == FollowSettings())
  #expect(try settings("collect: { host: false }").collect.host == nil)
  let collect = try settings(
    """
    collect: { intervalMilliseconds: 1000, host: { cores: 'busy', ignoreDisks: [] }, processes: [
      { name: 'nginx' }, { process: 'x', commandLine: '*x*' }, { pidFile: '/run/y.pid' }, { unit: 'z.service' }] }
    """
  ).collect
  #expect(collect.host?.cores == .busy && collect.host?.ignoreDisks == [])
  #expect(
    collect.processes == [
      ProcessWatch(process: "nginx", .name("nginx")), ProcessWatch(process: "x", .commandLine("*x*")),
      ProcessWatch(process: "/run/y.pid", .pidFile("/run/y.pid")),
      ProcessWatch(process: "z.service", .unit("z.service")),
    ])
  let follow = try settings(
    """
    follow: { journal: { severity: 'err', units: ['a.service'], from: 'beginning' }, files: [
      { paths: ['/a/*.log'], app: 'a', zone: '-03:30', severity: 'warning', multiline: { start: '^x' }, maxLine: 1000 },
      { paths: ['/b'], app: 'b', format: 'common', from: 'beginning', keepQuery: true }] }
    """
  ).follow
  #expect(follow.journal?.severity == 3 && follow.journal?.units == ["a.service"])
  #expect(follow.journal?.readsFromBeginning == true)
  #expect(follow.files[0].zone == .fixed(-12_600) && follow.files[0].severity == 4 && follow.files[0].start == "^x")
  var common = try AccessLogFormat("common")
  common.keepsQuery = true
  #expect(follow.files[1].format == .access(common) && follow.files[1].readsFromBeginning)
}

@Test(arguments: [
  ("collect: { host: { core: 'all' } }", "Did you mean \"cores\"?"),
  ("collect: { host: { cores: 'all' } }", "none of modes, busy, none"),
  ("collect: { host: 5 }", "has to be an object"),
  ("collect: { processes: [{}] }", "says nothing to look for"),
  ("collect: { processes: [{ name: 'a', unit: 'b' }] }", "more than one thing"),
  ("collect: { processes: [{ name: 'a' }, { name: 'a' }] }", "is there twice"),
  ("collect: { processes: [{ unit: '../a' }] }", "is no name of a unit"),
  ("collect: { processes: [{ nme: 'a' }] }", "says nothing"),
  ("follow: { files: [{ app: 'a' }] }", "needs 1 to 100 paths"),
  ("follow: { files: [{ paths: ['/a'] }] }", "Add app"),
  ("follow: { files: [{ paths: ['a.log'], app: 'a' }] }", "Begin it with /"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', format: 'xml' }] }", "none of plain, text, json"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', template: '$x' }] }", "only for format: \"access\""),
  ("follow: { files: [{ paths: ['/a'], app: 'a', format: 'access', template: '$x' }] }", "has no status"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', zone: 'CET' }] }", "is no zone"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', from: 'middle' }] }", "neither end nor beginning"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', severity: 'loud' }] }", "is no severity"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', multiline: { start: '(' } }] }", "no extended regular expression"),
  ("follow: { files: [{ paths: ['/a'], app: 'a', multiline: { start: 'a', continues: 'b' } }] }", "one of the two"),
  ("follow: { journal: { unit: 'x' } }", "Did you mean \"units\"?"),
]) func `a mistake in what is measured or followed is named with its mend`(text: String, sentence: String) {
  let found = problem("{ servers: ['10.0.0.100'], \(text) }")
  #expect(found.contains(sentence), "\(found)")
}
