// What tests ask of time and memory. Under a sanitizer (scripts/sanitize) both have to be more.
import Platform

private let isSanitized = environmentValue("STANDWATCH_SANITIZER") != nil

/// Milliseconds to wait for what has to come.
func patience(_ milliseconds: Int64) -> Int64 { isSanitized ? milliseconds * 10 : milliseconds }
/// What a bound of resident memory is multiplied by: a sanitizer has a shadow of all, and keeps what was freed.
let memoryFactor = isSanitized ? 10 : 1
