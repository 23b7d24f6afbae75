// What may be a name (of a source, stream, host, application, queue, ...): one rule for every protocol.

extension UInt8 {
  /// A control character of ASCII, DEL among them: none in a name, in any protocol.
  @inline(__always) var isControl: Bool { self < 0x20 || self == 0x7f }
}

/// 1 to 200 bytes, none of them a control character. That they are UTF-8 is for the caller to know.
func isName(_ bytes: some Collection<UInt8>) -> Bool {
  (1...200).contains(bytes.count) && !bytes.contains(where: \.isControl)
}
