// libFuzzer and the sanitizer's allocator as Swift sees them.
import Glibc

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ input: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
@_silgen_name("__sanitizer_install_malloc_and_free_hooks")
private func installHooks(
  _ allocated: @convention(c) (UnsafeRawPointer?, Int) -> Void, _ freed: @convention(c) (UnsafeRawPointer?) -> Void
) -> CInt
@_silgen_name("__sanitizer_get_allocated_size")
private func allocatedSize(_ pointer: UnsafeRawPointer?) -> Int

// Plain numbers: nothing here may allocate. One thread decodes.
nonisolated(unsafe) private var inUse = 0
nonisolated(unsafe) private var most = 0
nonisolated(unsafe) private var checked: FuzzedDecoder?

private func wasAllocated(_ pointer: UnsafeRawPointer?, _ size: Int) {
  unsafe inUse &+= size
  if unsafe inUse > most { unsafe most = inUse }
}
private func wasFreed(_ pointer: UnsafeRawPointer?) {
  if unsafe pointer != nil { unsafe inUse &-= allocatedSize(pointer) }
}
private func takeInput(_ pointer: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  // Sound: libFuzzer lends `count` bytes for the time of the call.
  let bytes = unsafe Array(UnsafeBufferPointer(start: pointer, count: count))
  do throws(Broken) { try unsafe checked?.check(bytes) } catch {
    print("BROKEN: \(error)")
    fflush(nil)
    abort()
  }
  return 0
}

enum Fuzzer {
  /// Runs libFuzzer on the decoder; returns its status where it returns at all.
  static func run(_ decoder: FuzzedDecoder, _ arguments: [String]) -> CInt {
    unsafe checked = decoder
    // Lazy things of the runtime are made before anything is counted.
    for bytes in [[], Array(repeating: UInt8(ascii: "a"), count: 64)] { try? decoder.check(bytes) }
    // Without them nothing would be counted, and every bound be kept.
    guard unsafe installHooks(wasAllocated, wasFreed) != 0 else {
      print("standwatch-fuzz: the sanitizer takes no hooks: allocations could not be counted")
      return 2
    }
    var before = 0
    unsafe Meter.hooks = Meter.Hooks(
      begin: {
        unsafe before = inUse
        unsafe most = inUse
      },
      end: { unsafe most - before })
    var count = CInt(arguments.count)
    // Never freed: libFuzzer keeps them.
    let copies = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
    for (index, argument) in arguments.enumerated() { unsafe copies[index] = strdup(argument) }
    unsafe copies[arguments.count] = nil
    var list = unsafe copies
    return unsafe runDriver(&count, &list, takeInput)
  }
}
