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
    let keys: [[UInt8]]
    do throws(BeatKeyFlaw) { keys = try BeatKeyFiles.all(files) } catch {
      throw section.error("keyFiles", error.problem, error.mend)
    }
    try section.finish()
    return Peers(listen: listen, nodes: nodes, keys: keys, keyFiles: files)
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
}
