// The key files of the beats. During a rotation the first one has companions: FILE.next is accepted already, FILE.previous
// still; FILE alone signs. So the files say what a node does, whatever the database says and whenever it restarts.
internal import Platform

/// Why a file is no key.
public struct BeatKeyFlaw: Error, Equatable, Sendable {
  public var problem: String
  public var mend: String
  /// There is no such file.
  public var isAbsent = false
}

public enum BeatKeyFiles {
  public static func next(_ file: String) -> String { file + ".next" }
  public static func previous(_ file: String) -> String { file + ".previous" }

  /// A key: 64 hexadecimal digits or at least 32 raw bytes, in a file that only its owner and group read.
  public static func read(_ path: String) throws(BeatKeyFlaw) -> [UInt8] {
    let make = "Make one with: openssl rand -hex 32 > \(path) && chmod 600 \(path)"
    let read: [UInt8]
    do throws(SystemError) {
      guard try !fileStatus(path).isReadableByOthers else {
        throw SystemError(call: "can be read by others", code: 0)
      }
      read = try readFile(path, limit: 4096)
    } catch {
      if error.code == 0 { throw BeatKeyFlaw(problem: "\(path) can be read by others", mend: "chmod 640 \(path)") }
      throw BeatKeyFlaw(
        problem: "\(path) cannot be read: \(errorText(error.code))", mend: make, isAbsent: error.code == 2)
    }
    var text = read[...]
    while let last = text.last, last == 0x0a || last == 0x0d || last == 0x20 { text = text.dropLast() }
    if let decoded = bytes(hexadecimal: text), decoded.count >= 32 { return decoded }
    guard read.count >= 32 else { throw BeatKeyFlaw(problem: "\(path) holds less than 32 bytes", mend: make) }
    return read
  }
  /// Nil when it is not there.
  public static func readIfAny(_ path: String) throws(BeatKeyFlaw) -> [UInt8]? {
    do throws(BeatKeyFlaw) { return try read(path) } catch {
      if error.isAbsent { return nil }
      throw error
    }
  }

  /// All keys: the first signs, every one verifies. A companion with a flaw is passed over, as if it were not there: a key
  /// that somebody is just putting down must stop no node. `hactl key` and `hactl doctor` name it.
  public static func all(_ files: [String]) throws(BeatKeyFlaw) -> [[UInt8]] {
    guard let first = files.first else { return [] }
    // In this order a file that is renamed meanwhile is met under its old name or under its new one.
    let next = try? readIfAny(Self.next(first))  // flawed: see above
    var keys = [try read(first)]
    let previous = try? readIfAny(Self.previous(first))  // flawed: see above
    for file in files.dropFirst() { keys.append(try read(file)) }
    for key in [next, previous] { if let key = key ?? nil, !keys.contains(key) { keys.append(key) } }
    return keys
  }
}

/// The keys that the beats' thread uses; read again by the thread "keys".
final class BeatKeys: Sendable {
  let files: [String]
  private let keys: Guarded<[[UInt8]]>

  init(files: [String], keys: [[UInt8]]) {
    self.files = files
    self.keys = Guarded(keys)
  }
  /// The first signs.
  var current: [[UInt8]] { keys.withLock { $0 } }
  /// True when they changed. With an error the present ones stay.
  func readAgain() throws(BeatKeyFlaw) -> Bool {
    let found = try BeatKeyFiles.all(files)
    return keys.withLock { keys in
      defer { if !found.isEmpty { keys = found } }
      return !found.isEmpty && keys != found
    }
  }
}
