// The part of the configuration that says who the other nodes are and which keys their beats bear.
internal import Configuration
internal import Platform

extension NodeConfiguration {
  static func peers(_ root: inout ConfigurationSection, node: String) throws(ConfigurationError) -> Peers {
    var section = try root.section("peers")
    let listen = try addresses(&section, "listen", example: "10.0.0.1:7401")
    guard (1...4).contains(listen.count) else {
      throw section.error(
        "listen", "needs 1 to 4 links", "Write [\"10.0.0.1:7401\"], one address for each network between the nodes")
    }
    var nodes: [Peer] = []
    for (index, value) in (try section.list("nodes") ?? []).enumerated() {
      var entry = try ConfigurationSection(value, file: section.file, path: section.name("nodes[\(index)]"))
      let name = try entry.text("node", example: "b")
      let links = try addresses(&entry, "addresses", example: "10.0.0.2:7401")
      try entry.finish()
      guard isIdentifier(name), name != node, !nodes.contains(where: { $0.node == name }) else {
        throw entry.error(
          "node", "\"\(name)\" is not the name of another node", "Name every other node of the cluster once")
      }
      guard links.count == listen.count else {
        throw entry.error(
          "addresses", "has \(links.count) addresses for \(listen.count) links",
          "Give one for each entry of peers.listen, in its order")
      }
      nodes.append(Peer(node: name, addresses: links))
    }
    guard nodes.count <= 16 else { throw section.error("nodes", "has more than 16 nodes", "A cluster has at most 17") }
    let files = try section.texts("keyFiles") ?? []
    guard (1...2).contains(files.count) else {
      throw section.error(
        "keyFiles", "needs one key file, or two while keys are changed", "Write [\"/etc/standwatch/beat.key\"]")
    }
    var keys: [[UInt8]] = []
    for file in files { keys.append(try key(file, section)) }
    try section.finish()
    return Peers(listen: listen, nodes: nodes, keys: keys)
  }

  private static func addresses(
    _ section: inout ConfigurationSection, _ key: String, example: String
  ) throws(ConfigurationError) -> [SocketAddress] {
    var found: [SocketAddress] = []
    for text in try section.texts(key) ?? [] {
      guard let address = SocketAddress(text: text, defaultPort: 7401) else {
        throw section.error(key, "\"\(text)\" is not a numeric address", "Write [\"\(example)\"]")
      }
      found.append(address)
    }
    return found
  }

  /// A key of the beats: 64 hexadecimal digits or at least 32 raw bytes, in a file that only its owner and group read.
  private static func key(_ path: String, _ section: ConfigurationSection) throws(ConfigurationError) -> [UInt8] {
    func wrong(_ problem: String, _ mend: String) -> ConfigurationError {
      section.error("keyFiles", "\(path) \(problem)", mend)
    }
    let make = "Make one with: openssl rand -hex 32 > \(path) && chmod 600 \(path)"
    let bytes: [UInt8]
    do {
      guard try !fileStatus(path).isReadableByOthers else { throw wrong("can be read by others", "chmod 640 \(path)") }
      bytes = try readFile(path, limit: 4096)
    } catch let error as ConfigurationError {
      throw error
    } catch let error as SystemError {
      throw wrong("cannot be read: \(errorText(error.code))", make)
    } catch {
      throw wrong("cannot be read: \(error)", make)
    }
    var text = bytes[...]
    while let last = text.last, last == 0x0a || last == 0x0d || last == 0x20 { text = text.dropLast() }
    if let decoded = hexadecimal(text), decoded.count >= 32 { return decoded }
    guard bytes.count >= 32 else { throw wrong("holds less than 32 bytes", make) }
    return bytes
  }

  private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    var high: UInt8?
    for digit in digits {
      let value: UInt8
      switch digit {
      case 0x30...0x39: value = digit - 0x30
      case 0x61...0x66: value = digit - 0x61 + 10
      case 0x41...0x46: value = digit - 0x41 + 10
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return bytes
  }
}
