// What counts as an error in rollups. The one place where it is written down.

/// Statuses of steps, jobs and spans that mean failure, in any case ("ERROR" as well).
public let failureStatuses: [StaticString] = [
  "nok", "error", "fatal", "failed", "failure", "timeout", "aborted", "rejected", "cancelled",
]
/// Log messages of these severities and graver ones (RFC 5424: 3 is error).
public let failureSeverity = 3
/// Web requests answered with this status or a greater one: the server's own failures.
public let failureCode = 500

/// Whether the text `start..<start + count` of a padded buffer is one of `failureStatuses`.
@inline(__always) func isFailureStatus(_ bytes: RawSpan, _ start: Int, _ count: Int) -> Bool {
  if count < 3 || count > 9 { return false }
  // Lower case: of all bytes only letters become letters by this bit.
  let word = prefix(word(bytes, start) | 0x2020_2020_2020_2020, min(count, 8))
  switch word {
  case key("nok"), key("error"), key("fatal"), key("failed"), key("failure"), key("timeout"), key("aborted"),
    key("rejected"):
    return count < 9
  case key("cancelled"): return count == 9 && byte(bytes, start &+ 8) | 0x20 == UInt8(ascii: "d")
  default: return false
  }
}
