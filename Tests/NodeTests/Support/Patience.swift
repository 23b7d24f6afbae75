// What tests ask of time and memory. Under a sanitizer (scripts/sanitize) both have to be more.
import Platform

private let isSanitized = environmentValue("STANDWATCH_SANITIZER") != nil

/// Milliseconds to wait for what has to come.
func patience(_ milliseconds: Int64) -> Int64 { isSanitized ? milliseconds * 10 : milliseconds }
/// For what comes at once on a machine that has time, and what no test is about: as long as a busy one may need.
let longest: Int64 = 180_000
/// What has to be soon, on a machine that may be busy with something else: tried a few times, and one of them has to show
/// it. What is slow by itself is slow each time.
func onceOf(_ attempts: Int, _ isSoon: () throws -> Bool) rethrows -> Bool {
  for _ in 0..<attempts { if try isSoon() { return true } }
  return false
}
/// What a bound of resident memory is multiplied by: a sanitizer has a shadow of all, and keeps what was freed.
let memoryFactor = isSanitized ? 10 : 1
