// The times that log lines begin with, in the forms that are in use.

/// Scans a time at the scanner's place, in any of these forms; nil, and the scanner where it was, if there is none.
///
///     2026-11-20T09:00:00.123Z   2026-11-20 09:00:00,123 +0900   2026/11/20 09:00:00   20/Nov/2026:09:00:00 +0000
///     Nov 20 09:00:00   Fri Nov 20 09:00:00.123456 2026   1795165200   1795165200.123   1795165200123
///
/// In µs since 2000-01-01 UTC. Without a zone the time is `zone` seconds ahead of UTC; without a year it is the one
/// nearest to `now`.
public func scanLogTime(_ scanner: inout ByteScanner, zone: Int, now: Int64) -> Int64? {
  var copy = scanner
  let time: Int64?
  if let first = copy.next, first &- 48 < 10 {
    if copy.peek(2) == UInt8(ascii: "/") {
      time = scanCommonLogTime(&copy)
    } else if let separator = copy.peek(4), separator == UInt8(ascii: "-") || separator == UInt8(ascii: "/") {
      time = scanDateTime(&copy, separator, zone)
    } else {
      time = scanEpoch(&copy)
    }
  } else {
    time = scanNamedMonth(&copy, zone, now)
  }
  if time != nil { scanner = copy }
  return time
}

private let micro: Int64 = 1_000_000
private let from1970To2000: Int64 = 946_684_800

/// `20/Nov/2026:09:00:00 +0000`, the time of Apache's and nginx's access logs.
public func scanCommonLogTime(_ s: inout ByteScanner) -> Int64? {
  guard let day = s.digits(2), s.take(UInt8(ascii: "/")), let month = scanMonthName(&s), s.take(UInt8(ascii: "/")),
    let year = s.digits(4), s.take(UInt8(ascii: ":")), let clock = scanClock(&s), s.take(0x20),
    let offset = scanZone(&s), let days = checkedDays(year, month, day)
  else { return nil }
  return (days * 86_400 + clock.seconds - Int64(offset)) * micro + clock.micros
}

private func scanDateTime(_ s: inout ByteScanner, _ separator: UInt8, _ zone: Int) -> Int64? {
  guard let year = s.digits(4), s.take(separator), let month = s.digits(2), s.take(separator), let day = s.digits(2),
    let days = checkedDays(year, month, day), let middle = s.next,
    middle | 0x20 == UInt8(ascii: "t") || middle == 0x20
  else { return nil }
  s.skip()
  guard let clock = scanClock(&s) else { return nil }
  var offset = zone
  var behind = s
  _ = behind.take(0x20)
  if let found = scanZone(&behind) {
    offset = found
    s = behind
  }
  return (days * 86_400 + clock.seconds - Int64(offset)) * micro + clock.micros
}

/// Seconds, milliseconds or microseconds since 1970 of our days: 2001 to 2286.
private func scanEpoch(_ s: inout ByteScanner) -> Int64? {
  let start = s.at
  guard let number = s.number(), number < 10_000_000_000_000_000 else { return nil }
  let value = Int64(number)
  switch s.at - start {
  case 10:
    var micros: Int64 = 0
    if s.next == UInt8(ascii: "."), let digit = s.peek(1), digit &- 48 < 10 {
      s.skip()
      micros = s.fraction() / 1000
    }
    return (value - from1970To2000) * micro + micros
  case 13: return value * 1000 - from1970To2000 * micro
  case 16: return value - from1970To2000 * micro
  default: return nil
  }
}

private func scanNamedMonth(_ s: inout ByteScanner, _ zone: Int, _ now: Int64) -> Int64? {
  var again = s
  var month = scanMonthName(&s)
  var mayHaveYear = false
  if month == nil {
    // `Fri Nov`: any three letters will do for the day of the week.
    for _ in 0..<3 {
      guard let letter = again.next, letter | 0x20 >= UInt8(ascii: "a"), letter | 0x20 <= UInt8(ascii: "z") else {
        return nil
      }
      again.skip()
    }
    guard again.take(0x20) else { return nil }
    s = again
    month = scanMonthName(&s)
    mayHaveYear = true
  }
  guard let month, s.take(0x20) else { return nil }
  s.skipBlanks()
  guard let day = s.number(), day >= 1, day <= 31, s.take(0x20), let clock = scanClock(&s) else { return nil }
  var year: Int?
  var behind = s
  if mayHaveYear, behind.take(0x20), let found = behind.digits(4), found >= 1970 {
    year = found
    s = behind
  }
  let thisYear = date(daysSince2000: Int(max(now / (86_400 * micro), -730_000))).year
  var best: Int64?
  for candidate in (year ?? thisYear - 1)...(year ?? thisYear + 1) {
    guard let days = checkedDays(candidate, month, Int(day)) else { continue }
    let time = (days * 86_400 + clock.seconds - Int64(zone)) * micro + clock.micros
    if let other = best, (other - now).magnitude <= (time - now).magnitude { continue }
    best = time
  }
  return best
}

private func checkedDays(_ year: Int, _ month: Int, _ day: Int) -> Int64? {
  guard year >= 1, month >= 1, month <= 12, day >= 1, day <= daysIn(month: month, of: year) else { return nil }
  return Int64(daysSince2000(year, month, day))
}
/// `09:00:00`, with a fraction behind a point or comma; second 60 is the first of the next minute.
private func scanClock(_ s: inout ByteScanner) -> (seconds: Int64, micros: Int64)? {
  guard let hour = s.digits(2), hour < 24, s.take(UInt8(ascii: ":")), let minute = s.digits(2), minute < 60,
    s.take(UInt8(ascii: ":")), let second = s.digits(2), second <= 60
  else { return nil }
  var micros: Int64 = 0
  if let point = s.next, point == UInt8(ascii: ".") || point == UInt8(ascii: ","), let digit = s.peek(1),
    digit &- 48 < 10
  {
    s.skip()
    micros = s.fraction() / 1000
  }
  return (Int64((hour * 60 + minute) * 60 + second), micros)
}
/// `Z`, `+09:00` or `+0900`, in seconds east of UTC.
private func scanZone(_ s: inout ByteScanner) -> Int? {
  if s.take(UInt8(ascii: "Z")) { return 0 }
  guard let sign = s.next, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") else { return nil }
  s.skip()
  guard let hour = s.digits(2), hour < 24 else { return nil }
  _ = s.take(UInt8(ascii: ":"))
  guard let minute = s.digits(2), minute < 60 else { return nil }
  return (hour * 60 + minute) * (sign == UInt8(ascii: "-") ? -60 : 60)
}
private func scanMonthName(_ s: inout ByteScanner) -> Int? {
  guard let a = s.next, let b = s.peek(1), let c = s.peek(2) else { return nil }
  let name = UInt64(a | 0x20) | UInt64(b | 0x20) << 8 | UInt64(c | 0x20) << 16
  let months: [UInt64] = [
    key("jan"), key("feb"), key("mar"), key("apr"), key("may"), key("jun"), key("jul"), key("aug"), key("sep"),
    key("oct"), key("nov"), key("dec"),
  ]
  guard let index = months.firstIndex(of: name) else { return nil }
  s.skip(3)
  return index + 1
}
