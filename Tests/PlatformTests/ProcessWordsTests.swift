// What a process says it was started with is what the kernel holds.
import FoundationEssentials
import Platform
import Testing

@Test func `the arguments of a process are those that the kernel keeps of it`() throws {
  let kept = try Data(contentsOf: URL(filePath: "/proc/self/cmdline"))
  let words = kept.split(separator: 0, omittingEmptySubsequences: false).dropLast().map {
    String(decoding: $0, as: UTF8.self)
  }
  #expect(words.count > 1)
  #expect(processArguments() == words)
}
