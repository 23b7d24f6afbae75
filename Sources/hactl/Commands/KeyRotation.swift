// The next step of a rotation on one node, from its files and what all nodes say: pure, so that every case has a test.
internal import Node

/// The key files of this node, read.
struct KeyFileState: Equatable {
  var key: [UInt8]
  var next: [UInt8]?
  var previous: [UInt8]?

  static func read(_ file: String) throws -> KeyFileState {
    do throws(BeatKeyFlaw) {
      let next = try BeatKeyFiles.readIfAny(BeatKeyFiles.next(file))
      let key = try BeatKeyFiles.read(file)
      return KeyFileState(key: key, next: next, previous: try BeatKeyFiles.readIfAny(BeatKeyFiles.previous(file)))
    } catch {
      throw Failure(error.problem, mend: error.mend)
    }
  }
}

/// What PostgreSQL knows.
struct KeySituation: Equatable {
  struct Rotation: Equatable {
    var present: String
    var next: String
    /// Nil when it is copied by hand.
    var wrapped: [UInt8]?
    var beganAt = ""
    var beganBy = ""
  }
  struct Node: Equatable {
    var signs: String
    var accepts: [String]
    var agoMilliseconds: Int64
  }
  /// Of the configuration.
  var cluster = ""
  var rotation: Rotation?
  /// Of each node's present run.
  var nodes: [String: Node] = [:]
  /// A node reports each three seconds.
  static let freshMilliseconds: Int64 = 10_000

  /// Nil when `holds` is true of every node lately; otherwise which are in the way.
  func missing(_ names: [String], _ holds: (Node) -> Bool) -> (silent: [String], behind: [String])? {
    let silent = names.filter { (nodes[$0]?.agoMilliseconds ?? .max) > Self.freshMilliseconds }
    let behind = names.filter { name in !silent.contains(name) && !(nodes[name].map(holds) ?? false) }
    return silent.isEmpty && behind.isEmpty ? nil : (silent, behind)
  }
}

enum KeyStep: Equatable, CustomStringConvertible {
  /// Make a new key.
  case begin
  /// Put down the key that another node made.
  case join([UInt8])
  /// Tell the others of ours.
  case offer
  case sign
  case drop
  case end
  case wait(String)
  case fail(String, mend: String)
  case done

  var description: String {
    switch self {
    case .begin: "a new key is made; this node accepts it"
    case .join: "the new key is taken over; this node accepts it"
    case .offer: "the new key is offered to the other nodes"
    case .sign: "every node accepts the new key: this one signs with it"
    case .drop: "every node signs with the new key: this one forgets the old one"
    case .end: "no node accepts the old key any more"
    case .wait(let why): why
    case .fail(let problem, _): problem
    case .done: "done"
    }
  }
}

/// `hasBegun`: this run has done something already, so that there is nothing to begin anew when all is done.
func nextKeyStep(
  _ files: KeyFileState, _ situation: KeySituation, nodes: [String], own: String, file: String, isByHand: Bool,
  hasBegun: Bool
) -> KeyStep {
  let mine = beatKeyFingerprint(files.key)
  func waiting(_ missing: (silent: [String], behind: [String]), _ what: String) -> KeyStep {
    if !missing.silent.isEmpty {
      return .wait("waiting for \(missing.silent.joined(separator: ", ")), which has not reported for long: start it")
    }
    let others = missing.behind.filter { $0 != own }
    let hint = others.isEmpty ? "" : ": hactl key rotate there\(isByHand ? " --by-hand" : "")"
    return .wait("waiting until \(missing.behind.joined(separator: ", ")) \(what)\(hint)")
  }
  if let next = files.next, files.previous == nil || files.previous == files.key {
    let new = beatKeyFingerprint(next)
    guard let rotation = situation.rotation else { return .offer }
    guard rotation.next == new else { return join(files, situation, rotation, file) }
    if let missing = situation.missing(nodes, { $0.accepts.contains(new) }) {
      return waiting(missing, "accepts the new key")
    }
    return .sign
  }
  if files.next != nil {
    return .fail(
      "\(file).next and \(file).previous are both there, of different rotations",
      mend: "remove the one that hactl key show names on no node")
  }
  if files.previous != nil {
    if let missing = situation.missing(nodes, { $0.signs == mine }) {
      return waiting(missing, "signs with the new key")
    }
    return .drop
  }
  guard let rotation = situation.rotation else { return hasBegun ? .done : .begin }
  if rotation.next == mine {
    if let missing = situation.missing(nodes, { $0.signs == mine && $0.accepts == [mine] }) {
      return waiting(missing, "forgets the old key")
    }
    return .end
  }
  return join(files, situation, rotation, file)
}

private func join(
  _ files: KeyFileState, _ situation: KeySituation, _ rotation: KeySituation.Rotation, _ file: String
) -> KeyStep {
  let mine = beatKeyFingerprint(files.key)
  guard rotation.present == mine else {
    return .fail(
      "this node's key (\(mine)) is neither the present one (\(rotation.present)) nor the new one (\(rotation.next))",
      mend: "copy \(file) from a node that hactl key show shows with one of them")
  }
  guard let wrapped = rotation.wrapped else {
    return .fail(
      "the rotation that \(rotation.beganBy) began is by hand, and \(file).next is not the new key (\(rotation.next))",
      mend: "on the node where it began: scp -p \(file).next root@THIS-NODE:\(file).next, then run this again")
  }
  guard let new = unwrapBeatKey(wrapped, under: files.key, cluster: situation.cluster, fingerprint: rotation.next)
  else {
    return .fail(
      "the new key in PostgreSQL can't be decrypted with this node's key",
      mend: "use --by-hand, or compare cluster in node.json5 of both nodes")
  }
  return .join(new)
}

/// For `hactl doctor`: a rotation that was left in the middle, and companions of the key that can't be used.
func checkKeyRotation(_ configuration: NodeConfiguration, _ checkup: inout Checkup) {
  guard let file = configuration.peers.keyFiles.first else { return }
  for companion in [BeatKeyFiles.next(file), BeatKeyFiles.previous(file)] {
    do throws(BeatKeyFlaw) {
      guard try BeatKeyFiles.readIfAny(companion) != nil else { continue }
      checkup.warn(
        "\(companion) is there: a rotation of the beats' key is not finished", "hactl key rotate, on every node")
    } catch {
      checkup.warn("\(error.problem): the node passes it over", error.mend)
    }
  }
}
