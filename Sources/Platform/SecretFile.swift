// Files with secrets: written whole, for the right eyes from their first byte on, and on disk when the call returns.
internal import Glibc

/// Writes a file in place of the one that has the name, with the group and mode of `model`, and syncs it and its folder.
public func writeSecretFile(_ path: String, _ bytes: [UInt8], like model: FileStatus) throws(SystemError) {
  let temporary = path + ".new"
  // What a run that died left behind. Another's file there, or a link, would not be followed: O_EXCL.
  unsafe unlink(temporary)
  let raw = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
  guard raw >= 0 else { throw .last("open \(temporary)") }
  let file = Descriptor(owning: raw)
  if model.user != geteuid() || model.group != getegid() {
    guard fchown(file.raw, model.user, model.group) == 0 else { throw .last("chown \(temporary)") }
  }
  guard fchmod(file.raw, mode_t(model.mode & 0o770)) == 0 else { throw .last("chmod \(temporary)") }
  try writeAll(bytes, to: file, named: temporary)
  guard fsync(file.raw) == 0 else { throw .last("fsync \(temporary)") }
  guard unsafe rename(temporary, path) == 0 else { throw .last("rename \(path)") }
  try syncFolder(folder(of: path))
}

/// Gives a file a second name, in place of one that has it; on disk when it returns.
public func linkFile(_ path: String, to other: String) throws(SystemError) {
  unsafe unlink(other)
  guard unsafe link(path, other) == 0 else { throw .last("link \(other)") }
  try syncFolder(folder(of: other))
}
/// Renames durably.
public func moveFile(_ path: String, to other: String) throws(SystemError) {
  try renameFile(path, to: other)
  try syncFolder(folder(of: other))
}
/// Removes a file, if it is there; on disk when it returns.
public func removeSecretFile(_ path: String) throws(SystemError) {
  guard unsafe unlink(path) == 0 || errno == ENOENT else { throw .last("remove \(path)") }
  try syncFolder(folder(of: path))
}
private func folder(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
