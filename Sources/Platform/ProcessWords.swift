// What this process was started with: its arguments and its environment.
internal import CLinux

/// This process's arguments as they were handed to it, the program's name first.
///
/// Not `CommandLine.arguments`: the runtime looks for them beside the environment, and finds none when a preloaded library
/// has moved that.
public func processArguments() -> [String] { unsafe strings(sw_arguments()) }

/// This process's environment, `NAME=value` each.
public func processEnvironment() -> [String] { unsafe strings(sw_environment()) }

private func strings(_ array: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> [String] {
  // Sound: the C library's arrays end with nil; nothing here changes them.
  guard var entry = unsafe array else { return [] }
  var all: [String] = []
  while let text = unsafe entry.pointee {
    unsafe all.append(String(cString: text))
    unsafe entry += 1
  }
  return all
}
