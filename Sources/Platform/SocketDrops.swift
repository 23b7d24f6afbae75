// How many datagrams the kernel dropped because a socket's receive buffer was full.
internal import Glibc

/// Since the socket was opened, wrapping at 2^32 (`SK_MEMINFO_DROPS`, socket(7)); 0 where the kernel does not say.
public func droppedDatagrams(_ descriptor: Int32) -> UInt32 {
  var values = [UInt32](repeating: 0, count: 9)
  var size = socklen_t(values.count * MemoryLayout<UInt32>.size)
  let memoryInformation: Int32 = 55  // SO_MEMINFO, not in Glibc's module
  // Sound: the kernel writes at most `size` bytes to the array.
  guard unsafe getsockopt(descriptor, SOL_SOCKET, memoryInformation, &values, &size) == 0 else { return 0 }
  return values[8]
}
