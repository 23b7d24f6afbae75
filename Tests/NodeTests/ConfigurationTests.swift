import Configuration
import Platform
import Testing

@testable import Node

/// A configuration that works, with one line replaced.
private func configuration(_ change: (String, String)? = nil, keyMode: UInt32 = 0o600) throws -> Result<
  NodeConfiguration, ConfigurationError
> {
  let key = "/tmp/standwatch-test-\(processIdentifier())-\(UInt64.random(in: 0...UInt64.max)).key"
  try replaceFile(key, with: Array(String(repeating: "ab", count: 32).utf8), mode: keyMode)
  defer { try? removeFile(key) }  // a temporary file; the test has its answer already
  var text = """
    // a comment
    {
      cluster: "plant1", node: "a",
      database: { connection: "host=10.77.0.9 dbname=standwatch user=sw", lanes: 2 },
      service: { addresses: [{ address: "10.77.0.100", interface: "eth0" }] },
      peers: { listen: ["10.77.0.1:7401"], keyFiles: ["\(key)"],
               nodes: [{ node: "b", addresses: ["10.77.0.2:7401"] }] },
      timing: { leaseMilliseconds: 2000 },
    }
    """
  if let change {
    #expect(text.contains(change.0))
    text = text.split(separator: change.0, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: change.1)
  }
  do throws(ConfigurationError) {
    return .success(try NodeConfiguration.parse(Array(text.utf8), file: "node.json5"))
  } catch {
    return .failure(error)
  }
}

@Test func `a small configuration gets the defaults`() throws {
  let found = try configuration().get()
  #expect(found.cluster == "plant1")
  #expect(found.listen.native.map(\.description) == ["0.0.0.0:7400"])
  #expect(found.service.helpers.claim == "/usr/lib/standwatch/ha/vip-claim")
  #expect(found.service.helpers.renew == nil)
  #expect(found.peers.keys == [[UInt8](repeating: 0xab, count: 32)])
  #expect(found.controlSocketPath == "/run/standwatch/plant1-a.sock")
}

@Test(arguments: [
  ("cluster: \"plant1\"", "cluster: \"Plant 1\"", "cluster"),
  ("node: \"a\"", "nodes: \"a\"", "node"),
  ("lanes: 2", "lanes: 1", "database.lanes"),
  ("lanes: 2", "lane: 2", "database.lane"),
  ("\"host=10.77.0.9 dbname=standwatch user=sw\"", "\"host\"", "database.connection"),
  ("10.77.0.100", "10.77.0.100/24", "service.addresses[0].address"),
  ("eth0", "", "service.addresses[0].interface"),
  ("[\"10.77.0.2:7401\"]", "[]", "peers.nodes[0].addresses"),
  ("node: \"b\"", "node: \"a\"", "peers.nodes[0].node"),
  ("[\"10.77.0.1:7401\"]", "[\"node-a:7401\"]", "peers.listen"),
  (".key\"]", ".key2\"]", "peers.keyFiles"),
  ("leaseMilliseconds: 2000", "leaseMilliseconds: 2000, beatMilliseconds: 900", "timing.leaseMilliseconds"),
  ("leaseMilliseconds: 2000", "leaseMilliseconds: 2500", "timing.leaseMilliseconds"),
  ("leaseMilliseconds: 2000", "leaseMilliseconds: \"2 s\"", "timing.leaseMilliseconds"),
  ("timing: {", "scrape: { targets: [{ app: \"a\" }] }, timing: {", "scrape.targets[0].url"),
  ("timing: {", "scrape: { targets: [{ url: \"file:///etc\", app: \"a\" }] }, timing: {", "scrape.targets[0].url"),
  ("timing: {", "scrape: { targets: [{ url: \"http://h/\" }] }, timing: {", "scrape.targets[0].app"),
  ("timing: {", "scrape: { targets: [{ url: \"http://h/\", apps: \"a\" }] }, timing: {", "scrape.targets[0].app"),
  ("timing: {", "scrape: { intervalSeconds: 0 }, timing: {", "scrape.intervalSeconds"),
  ("timing: {", "scrape: { interval: 5 }, timing: {", "scrape.interval"),
])
func `a wrong value names the file, the key and the mend`(_ from: String, _ to: String, _ key: String) throws {
  switch try configuration((from, to)) {
  case .success: Issue.record("\(to) was accepted")
  case .failure(let error):
    #expect(error.file == "node.json5")
    #expect(error.key == key)
    #expect(!error.mend.isEmpty)
  }
}

@Test func `targets get the interval, the time limit and the host that they don't name`() throws {
  let text = """
    scrape: { intervalSeconds: 5, targets: [
      { url: "http://10.0.0.11:9100/metrics", app: "node" },
      { url: "https://db/metrics", app: "pg", host: "db-1", intervalSeconds: 60 } ] }, timing: {
    """
  let found = try configuration(("timing: {", text)).get().scrape.targets
  #expect(found.map(\.host) == ["10.0.0.11", "db-1"] && found.map(\.instance) == ["10.0.0.11:9100", "db:443"])
  #expect(found.map(\.intervalMilliseconds) == [5000, 60_000] && found.map(\.timeoutMilliseconds) == [5000, 10_000])
}

@Test func `an unknown key is refused with the one that was probably meant`() throws {
  guard case .failure(let error) = try configuration(("lanes: 2", "lines: 2")) else {
    Issue.record("an unknown key was accepted")
    return
  }
  #expect(error.mend.contains("Did you mean \"lanes\"?"))
}

@Test func `a key that others can read is refused`() throws {
  guard case .failure(let error) = try configuration(keyMode: 0o644) else {
    Issue.record("a key readable by others was accepted")
    return
  }
  #expect(error.problem.contains("can be read by others"))
  #expect(error.mend.hasPrefix("chmod"))
}

@Test(arguments: ["", "{", "[]", "null", "{cluster:}", "\u{0}", "{\"cluster\": [[[[[[[[[[]]]]]]]]]]}"])
func `text that is no configuration is refused, never trapped on`(_ text: String) {
  #expect(throws: ConfigurationError.self) { try NodeConfiguration.parse(Array(text.utf8), file: "x") }
}
