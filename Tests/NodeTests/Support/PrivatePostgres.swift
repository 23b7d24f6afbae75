// A PostgreSQL of the tests' own, in a temporary folder, gone when the test process ends.
import Glibc
import Platform
import Postgres

/// A server on a free port of 127.0.0.1. Databases are copies of a template to which every migration was applied.
final class PrivatePostgres: Sendable {
  let port: UInt16
  /// Of the server's data and socket.
  let folder: String
  private let process: Guarded<Process>
  private let counter = Guarded(0)

  private struct Process: ~Copyable {
    var shell: Child?
    /// When this closes, also because we died, the shell stops the server and removes the folder.
    var leash: Descriptor?
  }

  /// One server for all tests that don't hurt it. It does not wait for its disk, so a node would refuse it at start;
  /// the rights and settings that matter are checked with a server of the test's own.
  static let shared: Result<PrivatePostgres, any Error> = Result { try PrivatePostgres(settings: ["fsync = off"]) }

  /// `settings` are lines of `postgresql.conf`.
  init(settings: [String] = []) throws {
    let installed = try PrivatePostgres.programs()
    port = try freePort()
    folder = try PrivatePostgres.temporaryFolder()
    let lines =
      [
        "listen_addresses = '127.0.0.1'", "port = \(port)", "unix_socket_directories = '\(folder)'",
        "max_connections = 1000", "autovacuum_naptime = 60s", "shared_buffers = 128MB", "wal_level = replica",
      ] + settings
    // The server belongs to the user postgres, which initdb and postgres insist on; root can't run them.
    let script = """
      set -eu
      chown postgres "$2"
      cd "$2"
      as=""
      if [ "$(id -u)" = 0 ]; then as="setpriv --reuid postgres --regid postgres --init-groups"; fi
      $as "$1/initdb" -D "$2/data" -A trust -U postgres -E UTF8 --locale=C --no-sync >"$2/initdb.log" 2>&1
      printf '%s\\n' "$3" >>"$2/data/postgresql.conf"
      $as "$1/postgres" -D "$2/data" >"$2/server.log" 2>&1 &
      server=$!
      cat >/dev/null
      kill -CONT "$server" 2>/dev/null || true
      kill -QUIT "$server" 2>/dev/null || true
      wait "$server" || true
      rm -rf "$2"
      """
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw SystemError.last("pipe") }
    let theirs = Descriptor(owning: ends[0])
    let ours = Descriptor(owning: ends[1])
    _ = fcntl(ours.raw, F_SETFD, FD_CLOEXEC)
    _ = fcntl(theirs.raw, F_SETFD, FD_CLOEXEC)
    let shell = try Child(
      "/bin/sh", ["-c", script, "sh", installed, folder, lines.joined(separator: "\n")],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"], descriptors: [theirs.raw, 2, 2])
    process = Guarded(Process(shell: shell, leash: ours))
    try makeTemplate()
  }

  /// Ends the server at once and removes its folder.
  func stop() {
    process.withLock { process in
      process.leash = nil
      if var shell = process.shell.take() { _ = shell.wait(until: .after(milliseconds: 10_000)) }
    }
  }

  /// A new database with the whole schema, today's partitions, and the cluster pinned; answers its connection string.
  func makeDatabase(cluster: String = "test") throws -> String {
    let number = counter.withLock {
      $0 += 1
      return $0
    }
    let name = "test\(number)"
    _ = try query("CREATE DATABASE \(name) TEMPLATE sw_template", on: "postgres")
    _ = try query("SELECT ha.pin('\(cluster)')", on: name)
    return connection(name)
  }
  /// As the role that nodes log in as.
  func connection(_ database: String, user: String = "standwatch") -> String {
    "host=127.0.0.1 port=\(port) dbname=\(database) user=\(user)"
  }

  /// Runs a script as superuser.
  @discardableResult func query(_ script: String, on database: String) throws -> [[String?]] {
    var session = try session(database)
    return try session.run(script, deadline: .after(milliseconds: longest)).rows
  }
  func session(_ database: String, user: String = "postgres") throws -> Connection {
    let endpoints = try ConnectionString(connection(database, user: user)).resolve()
    return try Connection.open(endpoints, deadline: .after(milliseconds: patience(longest)))
  }

  /// The server's process, and all that it has started.
  func processes() throws -> [Int32] {
    let pidFile = String(decoding: try readFile(folder + "/data/postmaster.pid"), as: UTF8.self)
    guard let main = pidFile.split(separator: "\n").first.flatMap({ Int32($0) }) else { return [] }
    let children = String(decoding: try readFile("/proc/\(main)/task/\(main)/children"), as: UTF8.self)
    return [main] + children.split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { Int32($0) }
  }
  /// From now on no commit is replicated, and those that ask for it wait. A new setting is taken up by each process in
  /// its own time: it holds when a commit waits.
  func stopReplication() throws {
    try query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", on: "postgres")
    try query("SELECT pg_reload_conf()", on: "postgres")
    let deadline = BootInstant.after(milliseconds: patience(longest))
    while true {
      var session = try session("postgres")
      do throws(PostgresError) {
        _ = try session.run(
          "CREATE TABLE replicated (); DROP TABLE replicated", deadline: .after(milliseconds: patience(1000)))
      } catch {
        return
      }
      if BootInstant.now() > deadline { throw TestTimeout(what: "a commit that waits for its replica") }
    }
  }
  /// SIGSTOP and SIGCONT for the whole server.
  func signal(_ number: Int32) throws { for pid in try processes() { kill(pid, number) } }

  // MARK: making

  private func makeTemplate() throws {
    let deadline = BootInstant.after(milliseconds: patience(longest))
    while true {
      do {
        try query("CREATE DATABASE sw_template", on: "postgres")
        break
      } catch {
        if BootInstant.now() > deadline { throw error }
        sleep(until: .after(milliseconds: 20))
      }
    }
    let migrations = packageFolder + "/sql"
    for file in try PrivatePostgres.files(migrations) where file.hasSuffix(".sql") {
      let text = String(decoding: try readFile(migrations + "/" + file), as: UTF8.self)
      try query("BEGIN; \(text); COMMIT", on: "sw_template")
    }
    try query("CREATE ROLE standwatch LOGIN IN ROLE standwatch_node", on: "sw_template")
    // Few days: partitions are most of what a new database costs.
    try query(
      "UPDATE ha.setting SET value = '1' WHERE key IN ('accept_past_days', 'accept_ahead_days')", on: "sw_template")
    try query("SELECT telemetry.ensure_partitions(1, 1)", on: "sw_template")
  }
  private static func programs() throws -> String {
    let root = "/usr/lib/postgresql"
    let versions = try files(root).compactMap { Int($0) }.sorted()
    guard let newest = versions.last else { throw SystemError(call: "find PostgreSQL", code: ENOENT) }
    return "\(root)/\(newest)/bin"
  }
  private static func files(_ folder: String) throws -> [String] {
    guard let handle = unsafe opendir(folder) else { throw SystemError.last("opendir \(folder)") }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      // Sound: readdir's name ends in a NUL; it is copied before the next call.
      let name = unsafe withUnsafePointer(to: entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }
  /// In memory where there is room: dozens of databases come and go, and a disk takes its time to forget them.
  private static func temporaryFolder() throws -> String {
    var space = statvfs()
    let inMemory = unsafe statvfs("/dev/shm", &space) == 0 && space.f_bavail * space.f_frsize > 4 << 30
    var template: [CChar] = Array("\(inMemory ? "/dev/shm" : "/tmp")/standwatch-test-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    return String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// The folder that holds Package.swift.
let packageFolder: String = #filePath.split(separator: "/").dropLast(4).reduce("") { $0 + "/" + $1 }

/// A TCP and UDP port of 127.0.0.1 that is free and was not given out before: below those that the kernel gives to
/// outgoing connections, so that none takes it meanwhile.
func freePort() throws -> UInt16 {
  for _ in 0..<2000 {
    let candidate = lastPort.withLock { last in
      last = last >= ports.upperBound ? ports.lowerBound : last + 1
      return last
    }
    guard let address = SocketAddress(host: "127.0.0.1", port: candidate) else { continue }
    // Taken by somebody else: the next one.
    guard let socket = try? listenStream(address), let other = try? bindDatagram(address) else { continue }
    _ = consume socket
    _ = consume other
    return candidate
  }
  throw SystemError(call: "find a free port", code: EADDRINUSE)
}
/// Below those that this host gives to outgoing connections, or above them where that is more.
private let ports: ClosedRange<UInt16> = {
  let text = try? readFile("/proc/sys/net/ipv4/ip_local_port_range")
  let given = String(decoding: text ?? [], as: UTF8.self).split { $0 == "\t" || $0 == "\n" || $0 == " " }
    .compactMap { UInt16($0) }
  guard given.count == 2, given[0] < 14_000 else { return 10_000...(min(given.first ?? 32_000, 32_000) - 1) }
  return given[1] < 60_000 ? given[1] + 1...65_535 : 10_000...31_999
}()
private let lastPort = Guarded(UInt16.random(in: ports))
