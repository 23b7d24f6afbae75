// The frame of Zabbix's protocols (Zabbix manual, appendix "Header"): "ZBXD", flags, length and, where the data are
// compressed, their length before; little-endian.

enum ZabbixPacket {
  static let headerBytes = 13
  private static let mark = Array("ZBXD".utf8)
  private static let isProtocol: UInt8 = 1
  private static let isCompressed: UInt8 = 2
  private static let isLarge: UInt8 = 4

  struct Header: Equatable {
    var isCompressed: Bool
    /// Of the data, as they come.
    var count: Int
    /// When they are unpacked.
    var unpackedCount: Int
  }
  enum Fault: Error, Equatable {
    case notZabbix
    /// Flags of a later protocol, or lengths of 64 bits, which are for proxies' configurations.
    case unknownFlags(UInt8)
  }

  /// The header of a packet, or nil while it isn't whole. What can't become one is refused at its first wrong byte.
  static func header(_ bytes: [UInt8]) throws(Fault) -> Header? {
    guard mark.starts(with: bytes.prefix(4)) else { throw .notZabbix }
    guard bytes.count > 4 else { return nil }
    let flags = bytes[4]
    guard flags & isProtocol != 0 else { throw .notZabbix }
    guard flags & ~(isProtocol | isCompressed) == 0 else { throw .unknownFlags(flags) }
    guard bytes.count >= headerBytes else { return nil }
    return Header(
      isCompressed: flags & isCompressed != 0, count: number(bytes[5..<9]), unpackedCount: number(bytes[9..<13]))
  }

  /// A packet of ours.
  static func packet(_ data: [UInt8]) -> [UInt8] {
    var bytes = mark + [isProtocol]
    for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: data.count >> shift)) }
    return bytes + [0, 0, 0, 0] + data
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
    bytes.reversed().reduce(0) { $0 << 8 | Int($1) }
  }
}
