// What the peer asks of the C library.
import Glibc
import Platform

func readSome(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Int? {
  let count = unsafe read(descriptor, &buffer, buffer.count)
  return count < 0 ? nil : count
}
func flushOutput() { _ = fflush(nil) }
func ownProcess() -> Int32 { getpid() }
func ownUser() -> UInt32 { getuid() }
/// The effective capabilities of this process, hexadecimal.
func ownCapabilities() -> String {
  guard let bytes = try? readFile("/proc/self/status") else { return "?" }
  let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("CapEff:") }
  return line.map { String($0.dropFirst(7).drop { $0 == "\t" }) } ?? "?"
}
func endProcess(_ status: Int32) -> Never { exit(status) }
