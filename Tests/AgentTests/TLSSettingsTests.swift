// Section `tls` of agent.json5.
import Configuration
import Platform
import TLS
import Testing

@testable import Agent

private func settings(_ tls: String) throws -> TLSSettings? {
  try AgentSettings.parse(Array("{ servers: ['10.0.0.100'], \(tls) }".utf8), file: "agent.json5").tls
}
private func problem(_ tls: String) -> String {
  do {
    _ = try settings(tls)
    return ""
  } catch { return "\(error)" }
}

@Test func `the agent speaks TLS where it is told whom to trust`() throws {
  #expect(try settings("") == nil)
  let found = try #require(
    try settings("tls: { ca: '/a/ca.crt', certificate: '/a/c.crt', key: '/a/c.key', serverName: 'standwatch' }"))
  #expect(found.files == TLSFiles(certificate: "/a/c.crt", key: "/a/c.key", authorities: "/a/ca.crt"))
  #expect(found.serverName == "standwatch")
  #expect(try settings("tls: { ca: '/a/ca.crt' }")?.files == TLSFiles(authorities: "/a/ca.crt"))
}

@Test(arguments: [
  ("tls: {}", "ca: is missing"), ("tls: { ca: 'ca.crt' }", "Begin it with /"),
  ("tls: { ca: '/ca', certificate: '/c' }", "tls.key: is missing"),
  ("tls: { ca: '/ca', key: '/k' }", "tls.certificate: is missing"), ("tls: 5", "has to be an object"),
  ("tls: { ca: '/ca', servername: 'x' }", "Did you mean \"serverName\"?"),
]) func `a mistake in section tls is named with its mend`(text: String, sentence: String) {
  #expect(problem(text).contains(sentence), "\(problem(text))")
}

@Test func `files that are not there are found by a check, and are no reason not to start`() throws {
  let found = tlsTroubles(try settings("tls: { ca: '/nowhere/ca.crt' }"))
  #expect(found.count == 1 && found[0].problem == "tls.ca: /nowhere/ca.crt cannot be read: No such file or directory")
  #expect(tlsTroubles(nil).isEmpty)
}

@Test func `the agent's page has the keys of section tls`() throws {
  let folder = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
  let page = String(decoding: try readFile(folder + "/ha/AGENT.md"), as: UTF8.self)
  let lines = page.split(separator: "\n")
  let start = try #require(lines.firstIndex(of: "| key of `tls` | what it is |"))
  var documented: Set<String> = []
  for line in lines[(start + 2)...].prefix(while: { $0.hasPrefix("|") }) {
    for (index, word) in line.split(separator: "|")[0].split(separator: "`").enumerated() where index % 2 == 1 {
      documented.insert(String(word))
    }
  }
  let known = problem("tls: { ca: '/ca', xyz: 1 }").split(separator: "Known here: ").last ?? ""
  #expect(documented == Set(known.split(separator: ", ").map(String.init)), "\(documented) and \(known)")
}
