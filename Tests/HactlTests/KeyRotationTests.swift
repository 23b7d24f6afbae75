// The rotation of the beats' key, step by step, and what must not be done before the others are ready.
import Node
import Platform
import Testing

@testable import hactl

private let old = [UInt8](repeating: 1, count: 32)
private let new = [UInt8](repeating: 2, count: 32)
private let (k0, k1) = (beatKeyFingerprint(old), beatKeyFingerprint(new))

private func situation(
  a: (String, [String]), b: (String, [String])?, rotation: Bool = true, byHand: Bool = false, age: Int64 = 1000
) -> KeySituation {
  var found = KeySituation(cluster: "plant1")
  if rotation {
    found.rotation = .init(
      present: k0, next: k1, wrapped: byHand ? nil : wrapBeatKey(new, under: old, cluster: "plant1"))
  }
  found.nodes["a"] = .init(signs: a.0, accepts: a.1, agoMilliseconds: 100)
  found.nodes["b"] = b.map { .init(signs: $0.0, accepts: $0.1, agoMilliseconds: age) }
  return found
}
private func step(_ files: KeyFileState, _ situation: KeySituation, hasBegun: Bool = true) -> KeyStep {
  nextKeyStep(
    files, situation, nodes: ["a", "b"], own: "a", file: "/k", isByHand: false, hasBegun: hasBegun)
}
private func waits(_ step: KeyStep) -> Bool { if case .wait = step { true } else { false } }
private func fails(_ step: KeyStep) -> Bool { if case .fail = step { true } else { false } }

@Suite struct `The rotation of a key` {
  @Test func `goes on only when every node has done the step before`() {
    let plain = KeyFileState(key: old)
    #expect(step(plain, situation(a: (k0, [k0]), b: (k0, [k0]), rotation: false), hasBegun: false) == .begin)
    let made = KeyFileState(key: old, next: new)
    #expect(step(made, situation(a: (k0, [k0]), b: (k0, [k0]), rotation: false)) == .offer)
    #expect(step(plain, situation(a: (k0, [k0]), b: (k0, [k0, k1]))) == .join(new))
    #expect(waits(step(made, situation(a: (k0, [k0, k1]), b: (k0, [k0])))))
    #expect(waits(step(made, situation(a: (k0, [k0]), b: (k0, [k0, k1])))))
    #expect(step(made, situation(a: (k0, [k0, k1]), b: (k0, [k0, k1]))) == .sign)
    let signing = KeyFileState(key: new, previous: old)
    #expect(waits(step(signing, situation(a: (k1, [k1, k0]), b: (k0, [k0, k1])))))
    #expect(step(signing, situation(a: (k1, [k1, k0]), b: (k1, [k1, k0]))) == .drop)
    let dropped = KeyFileState(key: new)
    #expect(waits(step(dropped, situation(a: (k1, [k1]), b: (k1, [k1, k0])))))
    #expect(step(dropped, situation(a: (k1, [k1]), b: (k1, [k1]))) == .end)
    #expect(step(dropped, situation(a: (k1, [k1]), b: (k1, [k1]), rotation: false)) == .done)
  }

  @Test func `waits for a node that is silent or was never heard, and names it`() {
    let made = KeyFileState(key: old, next: new)
    for other in [
      situation(a: (k0, [k0, k1]), b: nil), situation(a: (k0, [k0, k1]), b: (k0, [k0, k1]), age: 11_000),
    ] {
      guard case .wait(let why) = step(made, other) else {
        Issue.record("it goes on without b")
        continue
      }
      #expect(why.contains("b") && why.contains("start it"))
    }
  }

  @Test func `goes on after it was cut off between two files`() {
    let torn = KeyFileState(key: old, next: new, previous: old)
    #expect(step(torn, situation(a: (k0, [k0, k1]), b: (k0, [k0, k1]))) == .sign)
  }

  @Test func `takes another node's key in place of its own, when both began`() {
    let third = [UInt8](repeating: 3, count: 32)
    #expect(step(KeyFileState(key: old, next: third), situation(a: (k0, [k0]), b: (k0, [k0, k1]))) == .join(new))
  }

  @Test func `stops where a key is neither the old nor the new one, or is to be copied by hand`() {
    let other = KeyFileState(key: [UInt8](repeating: 9, count: 32))
    #expect(fails(step(other, situation(a: ("x", ["x"]), b: (k0, [k0, k1])))))
    #expect(fails(step(KeyFileState(key: old), situation(a: (k0, [k0]), b: (k0, [k0, k1]), byHand: true))))
  }

  @Test func `a wrapped key is opened by the present key, in its own cluster, and by nothing else`() {
    let wrapped = wrapBeatKey(new, under: old, cluster: "plant1")
    #expect(unwrapBeatKey(wrapped, under: old, cluster: "plant1", fingerprint: k1) == new)
    #expect(unwrapBeatKey(wrapped, under: new, cluster: "plant1", fingerprint: k1) == nil)
    #expect(unwrapBeatKey(wrapped, under: old, cluster: "plant2", fingerprint: k1) == nil)
    #expect(unwrapBeatKey(wrapped, under: old, cluster: "plant1", fingerprint: k0) == nil)
    for index in wrapped.indices {
      var changed = wrapped
      changed[index] ^= 1
      #expect(unwrapBeatKey(changed, under: old, cluster: "plant1", fingerprint: k1) == nil)
    }
    #expect(unwrapBeatKey([], under: old, cluster: "plant1", fingerprint: k1) == nil)
    #expect(wrapBeatKey(new, under: old, cluster: "plant1") != wrapped)
  }

  @Test func `the files alone say which keys a node has`() throws {
    let folder = "/tmp/standwatch-keys-\(UInt64.random(in: 0 ... .max))"
    try makeFolder(folder, mode: 0o700)
    let file = folder + "/beat.key"
    try replaceFile(file, with: old, mode: 0o640)
    let model = try fileStatus(file)
    #expect(try BeatKeyFiles.all([file]) == [old])
    try writeSecretFile(BeatKeyFiles.next(file), new, like: model)
    #expect(try fileStatus(BeatKeyFiles.next(file)).mode == 0o640)
    #expect(try BeatKeyFiles.all([file]) == [old, new])
    try linkFile(file, to: BeatKeyFiles.previous(file))
    try moveFile(BeatKeyFiles.next(file), to: file)
    #expect(try BeatKeyFiles.all([file]) == [new, old])
    // A companion that others can read is passed over, and the node goes on.
    try setFileMode(BeatKeyFiles.previous(file), 0o644)
    #expect(try BeatKeyFiles.all([file]) == [new])
    try removeSecretFile(BeatKeyFiles.previous(file))
    #expect(try BeatKeyFiles.all([file]) == [new])
    try setFileMode(file, 0o644)
    #expect(throws: BeatKeyFlaw.self) { try BeatKeyFiles.all([file]) }
    try removeFile(file)
  }
}
