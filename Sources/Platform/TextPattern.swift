// POSIX extended regular expressions of the C library, compiled once, matched on bytes.
internal import Glibc

/// A compiled expression. Owned by one thread at a time.
@safe public final class TextPattern {
  private let compiled: UnsafeMutablePointer<regex_t>
  public let text: String

  /// Nil when `text` (at most 1,000 bytes) is no extended regular expression.
  public init?(_ text: String) {
    guard text.utf8.count <= 1000, !text.utf8.contains(0) else { return nil }
    // Sound: regcomp fills what it is given, and frees what it took when it fails.
    let space = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
    guard unsafe regcomp(space, text, REG_EXTENDED) == 0 else {
      unsafe space.deallocate()
      return nil
    }
    unsafe compiled = space
    self.text = text
  }
  deinit {
    unsafe regfree(compiled)
    unsafe compiled.deallocate()
  }

  /// Whether the expression matches anywhere in `bytes`, of which only the first `limit` are looked at.
  public func matches(_ bytes: ArraySlice<UInt8>, limit: Int = 4096) -> Bool {
    firstMatch(bytes, limit: limit) != nil
  }
  /// Where the first match is; that of its first group where it has one.
  public func firstMatch(_ bytes: ArraySlice<UInt8>, limit: Int = 4096) -> Range<Int>? {
    var found = [regmatch_t](repeating: regmatch_t(), count: 2)
    let count = min(bytes.count, limit)
    found[0].rm_so = 0
    found[0].rm_eo = regoff_t(count)
    // Sound: REG_STARTEND makes the C library look at these bytes alone, which need no NUL behind them.
    let code = unsafe bytes.withUnsafeBufferPointer { buffer -> Int32 in
      guard let base = buffer.baseAddress else {
        return unsafe regexec(compiled, "", 2, &found, REG_STARTEND)
      }
      return unsafe base.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
        unsafe regexec(compiled, $0, 2, &found, REG_STARTEND)
      }
    }
    guard code == 0 else { return nil }
    let one = found[1].rm_so >= 0 ? found[1] : found[0]
    guard one.rm_so >= 0, one.rm_eo >= one.rm_so, Int(one.rm_eo) <= count else { return nil }
    return bytes.startIndex + Int(one.rm_so)..<bytes.startIndex + Int(one.rm_eo)
  }
}
