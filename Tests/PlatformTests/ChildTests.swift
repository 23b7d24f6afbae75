import Platform
import Testing

@Test func `a child that hangs is killed at its deadline with its whole group`() throws {
  var child = try Child("/bin/sh", ["-c", "sleep 60 & sleep 60"], environment: ["PATH=/bin:/usr/bin"], descriptors: [])
  let start = BootInstant.now()
  #expect(child.wait(until: start.adding(milliseconds: 50)) == .deadline)
  #expect(BootInstant.now().milliseconds(since: start) < 30_000)
}

@Test func `the exit status of a child arrives`() throws {
  var child = try Child("/bin/sh", ["-c", "exit 7"], environment: [], descriptors: [])
  #expect(child.wait(until: .after(milliseconds: 60_000)) == .exited(7))
}

// The thread sanitizer puts fork in the place of vfork: what the child writes for its parent stays the child's own.
@Test(.disabled(if: environmentValue("STANDWATCH_SANITIZER") == "thread", "no vfork under the thread sanitizer"))
func `a program that is not there is an error that names it`() {
  #expect(throws: SystemError.self) {
    _ = try Child("/nonexistent/helper", [], environment: [], descriptors: []).pid
  }
}
