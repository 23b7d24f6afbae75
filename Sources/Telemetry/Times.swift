// RFC 3339 times to microseconds since 2000-01-01 UTC, PostgreSQL's own count, and the calendar they need.

/// Days from 2000-01-01 to a date of our calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
func daysSince2000(_ year: Int, _ month: Int, _ day: Int) -> Int {
  let y = month <= 2 ? year - 1 : year
  let era = y / 400
  let yearOfEra = y - era * 400
  let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
  return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 730_425
}
/// Year, month and day of a number of days since 2000-01-01; for years from 1 on.
func date(daysSince2000 days: Int) -> (year: Int, month: Int, day: Int) {
  let shifted = days + 730_425
  let era = shifted / 146_097
  let dayOfEra = shifted - era * 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let shiftedMonth = (5 * dayOfYear + 2) / 153
  let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
  let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}
func daysIn(month: Int, of year: Int) -> Int {
  switch month {
  case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
  case 4, 6, 9, 11: 30
  default: 31
  }
}

/// Scans `2026-11-20T09:00:00.123456Z` or with `+09:00`; remembers the last minute, which most lines share.
///
/// Digits below a microsecond are dropped; second 60 (a leap second) is the first of the next minute, as in PostgreSQL.
struct TimeScanner {
  private var prefix: (UInt64, UInt64, UInt8) = (0, 0, 0)
  private var minuteStart: Int64 = 0
  init() {}

  /// `at` goes from the first digit to behind the zone.
  @inline(__always) mutating func scan(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
    let found = (word(bytes, at), word(bytes, at &+ 8), byte(bytes, at &+ 16))
    if found != prefix {
      minuteStart = try scanMinute(bytes, at)
      prefix = found
    }
    at &+= 17
    let tens = byte(bytes, at) &- 48
    let units = byte(bytes, at &+ 1) &- 48
    guard tens < 6 && units < 10 || tens == 6 && units == 0 else { throw .badTime }
    var time = minuteStart &+ (Int64(tens) &* 10 &+ Int64(units)) &* 1_000_000
    at &+= 2
    if take(UInt8(ascii: "."), bytes, &at) {
      var scale: Int64 = 100_000
      let point = at
      while case let digit = byte(bytes, at) &- 48, digit < 10 {
        time &+= Int64(digit) &* scale
        scale /= 10
        at &+= 1
      }
      if at == point || at &- point > 18 { throw .badTime }
    }
    let zone = byte(bytes, at)
    at &+= 1
    if zone == UInt8(ascii: "Z") || zone == UInt8(ascii: "z") { return time }
    guard zone == UInt8(ascii: "+") || zone == UInt8(ascii: "-") else { throw .badTime }
    return try time &+ (zone == UInt8(ascii: "+") ? -1 : 1) &* scanOffset(bytes, &at)
  }

  private func scanMinute(_ bytes: RawSpan, _ at: Int) throws(FaultKind) -> Int64 {
    let separator = byte(bytes, at + 10)
    guard byte(bytes, at + 4) == UInt8(ascii: "-"), byte(bytes, at + 7) == UInt8(ascii: "-"),
      separator | 0x20 == UInt8(ascii: "t") || separator == UInt8(ascii: " "),
      byte(bytes, at + 13) == UInt8(ascii: ":"), byte(bytes, at + 16) == UInt8(ascii: ":")
    else { throw .badTime }
    let year = try scanTwo(bytes, at) * 100 + scanTwo(bytes, at + 2)
    let month = try scanTwo(bytes, at + 5)
    let day = try scanTwo(bytes, at + 8)
    let hour = try scanTwo(bytes, at + 11)
    let minute = try scanTwo(bytes, at + 14)
    guard year >= 1, month >= 1, month <= 12, day >= 1, day <= daysIn(month: month, of: year), hour < 24, minute < 60
    else { throw .badTime }
    return Int64(((daysSince2000(year, month, day) * 24 + hour) * 60 + minute) * 60) * 1_000_000
  }
  private func scanOffset(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
    let hour = try scanTwo(bytes, at)
    guard byte(bytes, at + 2) == UInt8(ascii: ":") else { throw .badTime }
    let minute = try scanTwo(bytes, at + 3)
    guard hour < 24, minute < 60 else { throw .badTime }
    at += 5
    return Int64(hour * 60 + minute) * 60_000_000
  }
  private func scanTwo(_ bytes: RawSpan, _ at: Int) throws(FaultKind) -> Int {
    let tens = byte(bytes, at) &- 48
    let units = byte(bytes, at + 1) &- 48
    guard tens < 10, units < 10 else { throw .badTime }
    return Int(tens) * 10 + Int(units)
  }
}
