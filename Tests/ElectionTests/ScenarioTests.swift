// Golden scenarios: each file under Scenarios is played, and what the node does must be what the file says.
//
// To rewrite the expected lines: ELECTION_SCENARIOS=rewrite swift test --filter ElectionTests; then read the diff.

import Foundation
import Testing

struct ScenarioTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Scenarios")
  static let names: [String] = {
    // Without the folder there is no scenario, and a test below says so.
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path())) ?? []
    return files.filter { $0.hasSuffix(".scenario") }.sorted()
  }()

  @Test func `there are scenarios to play`() {
    #expect(ScenarioTests.names.count >= 20)
  }

  @Test(arguments: names) func `the node does what the scenario says`(_ name: String) throws {
    let file = ScenarioTests.folder.appending(path: name)
    let text = try String(contentsOf: file, encoding: .utf8)
    let played = try ScenarioTests.play(text)
    if ProcessInfo.processInfo.environment["ELECTION_SCENARIOS"] == "rewrite" {
      try played.write(to: file, atomically: true, encoding: .utf8)
    } else {
      #expect(played == text, "\(name) changed")
    }
  }

  /// The text with its expected lines replaced by what happens.
  static func play(_ text: String) throws -> String {
    var script = ScenarioScript()
    var out: [String] = []
    var block: [String] = []
    var expected = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line == "----" {
        out.append(line)
        out += try script.play(block)
        block = []
        expected = true
      } else if line.isEmpty {
        expected = false
        out.append(line)
      } else if !expected {
        out.append(line)
        if !line.hasPrefix("#") { block.append(line) }
      }
    }
    return out.joined(separator: "\n")
  }
}
