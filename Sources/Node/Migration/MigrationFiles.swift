// The numbered files of the schema: where they are, and what makes a folder of them sound.
internal import Platform
internal import TLS

/// One file `NNNN_name.sql`.
public struct MigrationFile: Equatable, Sendable {
  public var number: Int
  /// Without number and ending.
  public var name: String
  public var path: String
  public var script: String
  /// SHA-256 of the file, hexadecimal.
  public var checksum: String
  /// `0001_roles_and_schemas.sql`
  public var fileName: String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// Why migrations can't be read or applied; a sentence that names the file and, where there is one, the mend.
public struct MigrationError: Error, Equatable, Sendable, CustomStringConvertible {
  public var description: String
  /// Nothing is wrong but the moment: another session held a lock.
  public var canRetry = false
  init(_ description: String, canRetry: Bool = false) {
    self.description = description
    self.canRetry = canRetry
  }
}

/// The folder with the migrations: `option` (`--sql`), `$STANDWATCH_SQL`, beside the program, or the system's.
public func findMigrationFolder(option: String?) throws(MigrationError) -> String {
  for (given, origin) in [(option, "--sql"), (environmentValue("STANDWATCH_SQL"), "STANDWATCH_SQL")] {
    guard let given else { continue }
    if isFolder(given) { return given }
    throw MigrationError("\(given) (from \(origin)) is not a folder")
  }
  var candidates = ["/usr/share/standwatch/sql"]
  if let program = ownProgramPath(), let slash = program.lastIndex(of: "/") {
    candidates.insert("\(program[..<slash])/../share/standwatch/sql", at: 0)
  }
  if let found = candidates.first(where: isFolder) { return found }
  throw MigrationError(
    "no folder with migrations at \(candidates.joined(separator: " or ")); name it with --sql or $STANDWATCH_SQL")
}

/// Reads a folder's migrations in order. Numbers run from 1 without a hole; every `.sql` file has to be one of them.
public func readMigrations(folder: String) throws(MigrationError) -> [MigrationFile] {
  let names: [String]
  do { names = try namesInFolder(folder) } catch { throw MigrationError("\(error)") }
  var files: [MigrationFile] = []
  for name in names where name.hasSuffix(".sql") && !name.hasPrefix(".") {
    let path = "\(folder)/\(name)"
    let parts = name.dropLast(4).split(separator: "_", maxSplits: 1)
    guard parts.count == 2, parts[0].utf8.count == 4, parts[0].utf8.allSatisfy({ (48...57).contains($0) }),
      let number = Int(parts[0]),
      parts[1].utf8.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) || $0 == 95 })
    else { throw MigrationError("\(path): a migration is named NNNN_name.sql with a-z, 0-9 and _") }
    let bytes: [UInt8]
    do { bytes = try readFile(path, limit: 8 << 20) } catch { throw MigrationError("\(error)") }
    guard let script = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw MigrationError("\(path) is not UTF-8 text")
    }
    if let word = transactionWord(in: script) {
      throw MigrationError("\(path): \"\(word)\" would leave the transaction that every migration runs in; remove it")
    }
    files.append(
      MigrationFile(
        number: number, name: String(parts[1]), path: path, script: script, checksum: hexText(sha256(bytes))))
  }
  for (index, file) in files.enumerated() where file.number != index + 1 {
    throw MigrationError(
      file.number <= index
        ? "\(file.path): number \(file.number) is there twice" : "\(folder): migration number \(index + 1) is missing")
  }
  if files.isEmpty { throw MigrationError("\(folder) has no migrations (NNNN_name.sql)") }
  return files
}

/// A statement at the beginning of a line that would end or begin a transaction. A body of PL/pgSQL has these words
/// too, but indented, or without the semicolon.
private func transactionWord(in script: String) -> String? {
  let words = [
    "begin;", "commit;", "rollback;", "abort;", "begin transaction", "start transaction", "commit transaction",
  ]
  for line in script.split(whereSeparator: \.isNewline) {
    let lower = line.lowercased()
    if let word = words.first(where: { lower.hasPrefix($0) }) { return String(line.prefix(word.count)) }
  }
  return nil
}
