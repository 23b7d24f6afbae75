// Where the reading of a file stands, as it is kept in the spool: which file it is, by inode and by its bytes.
internal import Platform
internal import Telemetry

/// A position is only good for the file that it was taken from: the bytes before it have to be the same.
struct FilePosition: Equatable {
  var device: UInt64
  var inode: UInt64
  /// Behind the last record that was taken.
  var offset: Int64
  /// In the rest of a line whose beginning was taken, cut.
  var isSkipping = false
  /// What is in it is no text.
  var isBinary = false
  /// The first bytes of the file, and those before the offset: how many, and their hash.
  var headCount = 0
  var headHash: Int64 = 0
  var tailCount = 0
  var tailHash: Int64 = 0
  /// The name that it had.
  var path: String

  static let printBytes = 256

  /// `1 DEVICE INODE OFFSET FLAGS HEADCOUNT HEADHASH TAILCOUNT TAILHASH PATH`
  var encoded: [UInt8] {
    let flags = (isSkipping ? 1 : 0) | (isBinary ? 2 : 0)
    let numbers = "1 \(device) \(inode) \(offset) \(flags) \(headCount) \(headHash) \(tailCount) \(tailHash) "
    return Array(numbers.utf8) + Array(path.utf8).prefix(800)
  }
  init(device: UInt64, inode: UInt64, offset: Int64, path: String) {
    (self.device, self.inode, self.offset, self.path) = (device, inode, offset, path)
  }
  init?(_ bytes: [UInt8]) {
    guard bytes.count <= 1000 else { return nil }
    var s = ByteScanner(bytes)
    var numbers: [UInt64] = []
    while numbers.count < 9, let number = s.number() { numbers.append(number) }
    guard numbers.count == 9, numbers[0] == 1, s.take(0x20), !s.isAtEnd, let offset = Int64(exactly: numbers[3]),
      let headHash = Int64(exactly: numbers[6]), let tailHash = Int64(exactly: numbers[8]), numbers[4] < 4,
      numbers[5] <= UInt64(Self.printBytes), numbers[7] <= UInt64(Self.printBytes)
    else { return nil }
    self.init(device: numbers[1], inode: numbers[2], offset: offset, path: s.text(s.at..<s.end))
    (isSkipping, isBinary) = (numbers[4] & 1 != 0, numbers[4] & 2 != 0)
    (headCount, self.headHash) = (Int(numbers[5]), headHash)
    (tailCount, self.tailHash) = (Int(numbers[7]), tailHash)
  }

  /// Takes the prints of the file's bytes up to the offset.
  mutating func takePrints(_ descriptor: Int32) {
    let count = Int(min(offset, Int64(Self.printBytes)))
    let head = readBytes(descriptor, at: 0, count: count)
    let tail = readBytes(descriptor, at: offset - Int64(count), count: count)
    (headCount, headHash) = (head.count, NameHash.id(of: head))
    (tailCount, tailHash) = (tail.count, NameHash.id(of: tail))
  }
  /// Whether the open file still holds what was read.
  func isGood(for descriptor: Int32, _ identity: FileIdentity) -> Bool {
    guard identity.inode == inode, identity.size >= offset, offset >= Int64(tailCount) else { return false }
    // Device numbers can change when the machine starts again; enough bytes tell as well.
    guard identity.device == device || headCount >= 64 else { return false }
    let head = readBytes(descriptor, at: 0, count: headCount)
    let tail = readBytes(descriptor, at: offset - Int64(tailCount), count: tailCount)
    return head.count == headCount && tail.count == tailCount && NameHash.id(of: head) == headHash
      && NameHash.id(of: tail) == tailHash
  }
}
