// The files of one source: found by patterns, followed through rotation, each with its position.
internal import Platform
internal import Telemetry

/// Owned by the thread "collect".
final class FileFollower {
  private let source: FollowSource
  private let reader: LineReader
  private let rule: JoinRule?
  /// In keys: the same file may be followed by two sources.
  private let name: String
  private var files: [FollowedFile] = []
  private var events: FileEvents?
  /// Positions of before the start that no file has claimed yet.
  private var saved: [String: FilePosition] = [:]
  private var knowsPaths: Set<String> = []
  private var isFirstScan = true
  /// The source was followed before: what is new to it is read from its beginning.
  private var wasFollowed: Bool
  private var scanDue = BootInstant(nanoseconds: 0)
  private var turn = 0
  private var toldFull = false
  /// Found by the last search: what is to be followed and is not.
  private(set) var troubles: [FollowTrouble] = []

  static let greatestFiles = 1000
  static let scanMilliseconds: Int64 = 10_000
  /// A file whose name is gone is kept open this long after its last growth.
  static let goneMilliseconds = 5000.0

  /// Readable when files came or went; nil where the system gives no inotify: then they are looked for in turns.
  var descriptor: Int32? { events?.descriptor }
  /// Files that are open.
  var count: Int { files.count }

  init(_ source: FollowSource, host: String, positions: [String: [UInt8]]) {
    self.source = source
    reader = LineReader(source, host: host)
    let start = source.start.flatMap { TextPattern($0) }
    let continues = source.continues.flatMap { TextPattern($0) }
    rule =
      start == nil && continues == nil
      ? nil : JoinRule(start: start, continues: continues, flushMilliseconds: source.flushMilliseconds)
    name = String(NameHash.id(of: Array(source.paths.joined(separator: "\n").utf8)), radix: 36)
    wasFollowed = positions["source:" + name] != nil
    let prefix = "file:\(name):"
    for (key, value) in positions where key.hasPrefix(prefix) {
      guard let position = FilePosition(value) else { continue }
      saved[key] = position
      knowsPaths.insert(position.path)
    }
    // Without it, folders are looked through each ten seconds.
    events = try? FileEvents()
  }

  /// Adds what is new until the batch is full.
  func follow(at now: SampleTime, buffer: inout ReadBuffer, into batch: inout FollowBatch) {
    let changed = events?.drain() ?? false
    if changed { scanDue = min(scanDue, now.boot.adding(milliseconds: 200)) }
    if now.boot >= scanDue { scan(now.boot, &batch) }
    // Each turn begins with another file, so that none waits for ever behind a busy one.
    turn += 1
    for step in files.indices {
      if batch.isFull { return }
      let file = files[(turn + step) % files.count]
      _ = file.read(rule, maxLine: source.maxLine, buffer: &buffer, now: now.boot) { lines in
        emit(lines, file.path, now, &batch)
        return !batch.isFull
      }
      note(file, &batch)
    }
    close(now, &batch)
  }
  private func emit(_ lines: JoinedLines, _ path: String, _ now: SampleTime, _ batch: inout FollowBatch) {
    batch.records.append(reader.record(lines, path: path, now: now.time))
    batch.bytes += lines.bytes.count
  }
  private func note(_ file: FollowedFile, _ batch: inout FollowBatch) {
    if let position = file.position() { batch.positions[file.key] = position.encoded }
  }

  /// Files that are gone and read to their end.
  private func close(_ now: SampleTime, _ batch: inout FollowBatch) {
    guard files.contains(where: { $0.goneSince != nil }) else { return }
    files.removeAll { file in
      guard !batch.isFull, file.isFinished(now: now.boot, waitMilliseconds: Self.goneMilliseconds) else { return false }
      for lines in file.finish(rule, maxLine: source.maxLine, now: now.boot) { emit(lines, file.path, now, &batch) }
      batch.positions[file.key] = []
      return true
    }
  }

  // MARK: finding

  private func scan(_ now: BootInstant, _ batch: inout FollowBatch) {
    scanDue = now.adding(milliseconds: Self.scanMilliseconds)
    let found = findFiles(source.paths, exclude: source.exclude, limit: Self.greatestFiles)
    if events != nil {
      events?.keep(found.folders)
      for folder in found.folders where events?.watch(folder) == false {
        // It may come: then the next scan watches it.
        continue
      }
    }
    var present: Set<String> = []
    var troubles = found.troubles
    for path in found.paths {
      guard let identity = fileIdentity(path), identity.isRegular else { continue }
      let key = key(identity)
      present.insert(key)
      if let file = files.first(where: { $0.key == key }) {
        (file.path, file.goneSince) = (path, nil)
      } else {
        if let trouble = open(path, now) { troubles.append(trouble) }
      }
    }
    self.troubles = FollowTrouble.bounded(troubles)
    for file in files where file.goneSince == nil && !present.contains(file.key) { file.goneSince = now }
    if isFirstScan { openRotated(now, &batch) }
    isFirstScan = false
    if !wasFollowed {
      wasFollowed = true
      batch.positions["source:" + name] = [1]
    }
  }
  private func key(_ identity: FileIdentity) -> String { "file:\(name):\(identity.device):\(identity.inode)" }

  /// Why it is not followed, if it is not.
  private func open(_ path: String, _ now: BootInstant) -> FollowTrouble? {
    guard files.count < Self.greatestFiles else {
      if !toldFull { log(.warning, "too many files to follow", ["at": path, "most": "\(Self.greatestFiles)"]) }
      toldFull = true
      return nil
    }
    let file: Descriptor
    do throws(SystemError) {
      file = try openFile(path)
    } catch {
      // Gone since the search, or not ours to read: the next search tries again.
      return FollowTrouble(path, error)
    }
    guard let identity = fileIdentity(file.raw), identity.isRegular else { return nil }
    let key = key(identity)
    if files.contains(where: { $0.key == key }) { return nil }
    var position = FilePosition(device: identity.device, inode: identity.inode, offset: 0, path: path)
    if let old = claim(key, identity, file.raw) {
      position = old
    } else if isFirstScan && !wasFollowed && !source.readsFromBeginning {
      position.offset = identity.size
    }
    files.append(FollowedFile(key: key, path: path, file: file, identity: identity, at: position, now: now))
    return nil
  }
  /// The position of before the start, if it is this file's.
  private func claim(_ key: String, _ identity: FileIdentity, _ descriptor: Int32) -> FilePosition? {
    guard let (old, position) = saved.first(where: { $0.key == key || $0.value.inode == identity.inode }),
      position.isGood(for: descriptor, identity)
    else { return nil }
    saved[old] = nil
    return position
  }

  /// Files that were renamed while nobody followed them: their rest is looked for beside their old names.
  private func openRotated(_ now: BootInstant, _ batch: inout FollowBatch) {
    for (key, position) in saved {
      saved[key] = nil
      guard let slash = position.path.lastIndex(of: "/") else { continue }
      let folder = String(position.path[..<slash])
      // Gone: so is what was left in it.
      let names = (try? namesInFolder(folder.isEmpty ? "/" : folder, limit: 2000)) ?? []
      for name in names {
        let path = "\(folder)/\(name)"
        guard let identity = fileIdentity(path), identity.isRegular, identity.inode == position.inode,
          let file = try? openFile(path), position.isGood(for: file.raw, identity),  // gone since
          !files.contains(where: { $0.key == self.key(identity) })
        else { continue }
        let rest = FollowedFile(
          key: self.key(identity), path: position.path, file: file, identity: identity, at: position, now: now)
        rest.goneSince = now
        files.append(rest)
        break
      }
      if !files.contains(where: { $0.key == key }) { batch.positions[key] = [] }
    }
  }
}
