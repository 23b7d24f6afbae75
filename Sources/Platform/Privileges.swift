// Giving up root, and the limits of a process. Called by the first thread, before there are others.
internal import CLinux
internal import Glibc

/// A user of this host.
public struct UserIdentity: Equatable, Sendable {
  public var name: String
  public var user: UInt32
  public var group: UInt32
}

/// Nil when there is no such user.
public func findUser(_ name: String) throws(SystemError) -> UserIdentity? {
  var identity = UserIdentity(name: name, user: 0, group: 0)
  switch unsafe sw_find_user(name, &identity.user, &identity.group) {
  case 0: return identity
  case 1: return nil
  default: throw .last("look up user \(name)")
  }
}

/// True while this process may do everything.
public func isRoot() -> Bool { geteuid() == 0 }

/// Becomes `identity` for good, with its supplementary groups. All capabilities go, but for CAP_NET_BIND_SERVICE where
/// `keepLowPorts` asks for it. Clears the parent-death signal: set that one afterwards.
public func becomeUser(_ identity: UserIdentity, keepLowPorts: Bool) throws(SystemError) {
  guard unsafe sw_become_user(identity.name, identity.user, identity.group, keepLowPorts ? 1 : 0) == 0 else {
    throw .last("become user \(identity.name)")
  }
}

/// Neither this process nor what it starts can gain privileges by a set-user-id program.
public func forbidNewPrivileges() throws(SystemError) {
  guard sw_no_new_privileges() == 0 else { throw .last("PR_SET_NO_NEW_PRIVS") }
}

/// No core file and no debugger of the same user: the process holds keys and passwords.
public func forbidCoreDumps() throws(SystemError) {
  guard sw_forbid_core_dumps() == 0 else { throw .last("forbid core dumps") }
}

/// Raises the limit of open files to the hard limit and returns it.
@discardableResult public func raiseFileLimit() throws(SystemError) -> Int {
  let limit = sw_raise_file_limit()
  guard limit >= 0 else { throw .last("raise RLIMIT_NOFILE") }
  return Int(limit)
}

/// How many files may be open now.
public func openFileLimit() -> Int { Int(sw_file_limit()) }

/// Lets this process and its children ask for real-time priorities up to `priority`. Beyond the hard limit it needs
/// CAP_SYS_RESOURCE.
public func allowRealtime(priority: Int32) throws(SystemError) {
  guard sw_allow_realtime(priority) == 0 else { throw .last("raise RLIMIT_RTPRIO") }
}

/// Real-time priority for the calling thread alone, or nice -10 where that is refused; children start with neither.
/// The error of the last try when both are refused.
public func preferThisThread(priority: Int32) throws(SystemError) {
  if sw_prefer_this_thread(priority) == 0 { return }
  guard sw_prefer_this_thread(0) == 0 else { throw .last("raise priority") }
}

/// Makes a folder with owner and permission bits. False when something with that name is there already: it stays.
@discardableResult public func makeFolder(
  _ path: String, user: UInt32, group: UInt32, mode: UInt32
) throws(SystemError) -> Bool {
  if unsafe sw_make_folder(path, user, group, mode) == 0 { return true }
  if errno == EEXIST { return false }
  throw .last("make folder \(path)")
}

/// The calling thread's name, at most 15 bytes; of the first thread it is the process's name in `ps`.
public func nameThisThread(_ name: String) { _ = unsafe sw_set_thread_name(String(name.prefix(15))) }

public func parentProcess() -> Int32 { getppid() }
