// What senders compress, bounded by what comes out: a few bytes can claim to be gigabytes.
internal import CZlib

/// Why bytes can't be unpacked.
public enum CompressionError: Error, Equatable, Sendable, CustomStringConvertible {
  /// More than the limit came out; what came out is thrown away.
  case tooLarge(limit: Int)
  /// Not of the format, damaged, or cut off.
  case damaged(String)

  public var description: String {
    switch self {
    case .tooLarge(let limit): "more than \(limit) bytes when unpacked"
    case .damaged(let why): "can't be unpacked: \(why)"
    }
  }
}

/// How compressed bytes are framed.
public enum CompressionFormat: Equatable, Sendable {
  /// RFC 1952, several members one after the other included.
  case gzip
  /// RFC 1950, or RFC 1951 without a frame: what senders of `Content-Encoding: deflate` mean differs.
  case deflate
  /// gzip or RFC 1950, whichever it is.
  case automatic

  fileprivate var windowBits: Int32 {
    switch self {
    case .gzip: 15 + 16
    case .deflate: 15
    case .automatic: 15 + 32
    }
  }
}

/// Unpacks `bytes`, all of them; never holds more than `limit` bytes and what is being unpacked now (64 KiB).
public func inflate(
  _ bytes: [UInt8], limit: Int, format: CompressionFormat = .automatic
) throws(CompressionError) -> [UInt8] {
  do throws(CompressionError) {
    return try inflate(bytes, limit: limit, windowBits: format.windowBits)
  } catch {
    if format == .deflate, case .damaged = error { return try inflate(bytes, limit: limit, windowBits: -15) }
    throw error
  }
}

/// Packs `bytes` as gzip, quickly (level 1).
public func gzip(_ bytes: [UInt8]) -> [UInt8] {
  var stream = unsafe z_stream()
  let begun = unsafe deflateInit2_(
    &stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
  precondition(begun == Z_OK, "deflateInit2: \(begun)")
  defer { unsafe deflateEnd(&stream) }
  var packed = [UInt8](repeating: 0, count: Int(unsafe deflateBound(&stream, UInt(bytes.count))))
  // Sound: both pointers are used only inside the closures, for the counts given beside them.
  let (ended, count) = unsafe bytes.withUnsafeBufferPointer { input in
    unsafe packed.withUnsafeMutableBufferPointer { output in
      unsafe stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      unsafe stream.avail_in = UInt32(input.count)
      unsafe stream.next_out = output.baseAddress
      unsafe stream.avail_out = UInt32(output.count)
      return unsafe (deflate(&stream, Z_FINISH), output.count - Int(stream.avail_out))
    }
  }
  precondition(ended == Z_STREAM_END, "deflate: \(ended)")
  packed.removeLast(packed.count - count)
  return packed
}

private func inflate(_ bytes: [UInt8], limit: Int, windowBits: Int32) throws(CompressionError) -> [UInt8] {
  guard bytes.count <= Int(UInt32.max) else { throw .tooLarge(limit: limit) }
  var stream = unsafe z_stream()
  let begun = unsafe inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
  precondition(begun == Z_OK, "inflateInit2: \(begun)")
  defer { unsafe inflateEnd(&stream) }
  var unpacked: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  var used = 0
  while true {
    // Sound: both pointers are used only inside the closures, for the counts given beside them.
    let (state, taken, made) = unsafe bytes.withUnsafeBufferPointer { input in
      unsafe chunk.withUnsafeMutableBufferPointer { output in
        unsafe stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress).map { unsafe $0 + used }
        unsafe stream.avail_in = UInt32(input.count - used)
        unsafe stream.next_out = output.baseAddress
        unsafe stream.avail_out = UInt32(output.count)
        let state = unsafe inflate(&stream, Z_NO_FLUSH)
        return unsafe (state, input.count - used - Int(stream.avail_in), output.count - Int(stream.avail_out))
      }
    }
    used += taken
    guard unpacked.count + made <= limit else { throw .tooLarge(limit: limit) }
    unpacked += chunk[..<made]
    switch state {
    case Z_OK: continue
    case Z_STREAM_END:
      if used == bytes.count { return unpacked }
      // The next member of a gzip file; anything else behind the end is damage.
      guard windowBits > 15, bytes[used] == 0x1f else { throw .damaged("something follows its end") }
      guard unsafe inflateReset(&stream) == Z_OK else { throw .damaged("something follows its end") }
    case Z_BUF_ERROR: throw .damaged("it ends too early")
    default: throw .damaged(unsafe stream.msg.map { unsafe String(cString: $0) } ?? "zlib error \(state)")
    }
  }
}
