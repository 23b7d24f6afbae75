// Names with `*`, `?` and `[a-z]`, as shells have them.

/// Whether `pattern` matches all of `text`. A `[` without its bracket stands for itself. At most pattern times text steps.
func globMatches(_ pattern: some RandomAccessCollection<UInt8>, _ text: some RandomAccessCollection<UInt8>) -> Bool {
  let (p, t) = (Array(pattern), Array(text))
  var (i, j) = (0, 0)
  // Where to go on when the last star has to swallow one byte more.
  var star: (pattern: Int, text: Int)?
  while j < t.count {
    if i < p.count, p[i] == UInt8(ascii: "*") {
      star = (i + 1, j)
      i += 1
    } else if i < p.count, let next = step(p, i, t[j]) {
      i = next
      j += 1
    } else if let back = star {
      star = (back.pattern, back.text + 1)
      (i, j) = (back.pattern, back.text + 1)
    } else {
      return false
    }
  }
  while i < p.count, p[i] == UInt8(ascii: "*") { i += 1 }
  return i == p.count
}
func globMatches(_ pattern: String, _ text: String) -> Bool { globMatches(Array(pattern.utf8), Array(text.utf8)) }

/// Whether a text is a pattern at all.
func isGlob(_ text: String) -> Bool { text.utf8.contains { "*?[".utf8.contains($0) } }

/// Behind the element at `i` if it matches `byte`.
private func step(_ p: [UInt8], _ i: Int, _ byte: UInt8) -> Int? {
  if p[i] == UInt8(ascii: "?") { return i + 1 }
  if p[i] == UInt8(ascii: "["), let close = closing(p, i) {
    var at = i + 1
    let isNegated = p[at] == UInt8(ascii: "!") || p[at] == UInt8(ascii: "^")
    if isNegated { at += 1 }
    var found = false
    while at < close {
      if at + 2 < close, p[at + 1] == UInt8(ascii: "-") {
        if p[at] <= byte && byte <= p[at + 2] { found = true }
        at += 3
      } else {
        if p[at] == byte { found = true }
        at += 1
      }
    }
    return found != isNegated ? close + 1 : nil
  }
  return p[i] == byte ? i + 1 : nil
}
private func closing(_ p: [UInt8], _ open: Int) -> Int? {
  var at = open + 1
  if at < p.count, p[at] == UInt8(ascii: "!") || p[at] == UInt8(ascii: "^") { at += 1 }
  // A bracket that comes first is a member.
  at += 1
  while at < p.count {
    if p[at] == UInt8(ascii: "]") { return at }
    at += 1
  }
  return nil
}
