// Names in the file system, and who we are: what a socket's owner and a tool that is looked for need.
internal import Glibc

/// Sets the permission bits of a file.
public func setFileMode(_ path: String, _ mode: UInt32) throws(SystemError) {
  guard unsafe chmod(path, mode) == 0 else { throw .last("chmod \(path)") }
}

/// Removes a file or socket; one that is not there is passed over.
public func removeFile(_ path: String) throws(SystemError) {
  guard unsafe unlink(path) == 0 || errno == ENOENT else { throw .last("remove \(path)") }
}

/// The names in a folder, sorted, without `.` and `..`; at most `limit` of them are looked at.
public func namesInFolder(_ path: String, limit: Int = 100_000) throws(SystemError) -> [String] {
  guard let folder = unsafe opendir(path) else { throw .last("open folder \(path)") }
  defer { unsafe closedir(folder) }
  var names: [String] = []
  // Sound: the entry is read before the next readdir, and its name ends in a NUL within the 256 bytes.
  while names.count < limit, let entry = unsafe readdir(folder) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
      unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted()
}

/// Whether a path is a folder.
public func isFolder(_ path: String) -> Bool {
  var raw = stat()
  return unsafe stat(path, &raw) == 0 && raw.st_mode & S_IFMT == S_IFDIR
}

/// Whether this process may execute the file.
public func isExecutable(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

/// The program that this process runs, as an absolute path; nil where `/proc` is not mounted.
public func ownProgramPath() -> String? {
  var buffer = [CChar](repeating: 0, count: 4096)
  let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
  guard count > 0 else { return nil }
  return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The effective user of this process.
public func effectiveUser() -> UInt32 { geteuid() }

/// A variable of the environment; nil when it is not set or empty.
public func environmentValue(_ name: String) -> String? {
  guard let raw = unsafe getenv(name) else { return nil }
  let text = unsafe String(cString: raw)
  return text.isEmpty ? nil : text
}

/// The login name of a user; nil when the system knows none.
public func userName(_ user: UInt32) -> String? {
  // Sound: the record is the C library's own and is read before anything else can ask for another.
  guard let record = unsafe getpwuid(user), let name = unsafe record.pointee.pw_name else { return nil }
  return unsafe String(cString: name)
}

/// Whether the user database has the user in the group, as its own or as a further one.
public func isMember(user: UInt32, of group: UInt32) -> Bool {
  // Sound: the record is read before anything else can ask for another.
  guard let record = unsafe getpwuid(user), let name = unsafe record.pointee.pw_name else { return false }
  var count: Int32 = 256
  var groups = [gid_t](repeating: 0, count: Int(count))
  // Sound: at most `count` groups are written; how many there were is in `count` afterwards.
  guard unsafe getgrouplist(name, record.pointee.pw_gid, &groups, &count) >= 0 else { return false }
  return groups.prefix(Int(count)).contains(group)
}

/// This host's name, without the domain.
public func hostName() -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  guard unsafe gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
  let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  return String(decoding: text.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)
}
