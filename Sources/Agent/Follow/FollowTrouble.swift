// What is to be followed and is not: which file or pattern, why, and how to mend it.
internal import Platform

/// Told by `--check`, in the log when it changes, and by `--status`.
struct FollowTrouble: Codable, Equatable, Sendable {
  /// The path, or the pattern.
  var path: String
  var reason: String
  var mend: String
  /// There is something to follow, and this user can't. Otherwise there is nothing yet, which may be as it should be.
  var isRefused: Bool

  /// Of one source; what is beyond is counted.
  static let most = 10
  static let permissionMend =
    "let the agent's user read it: ls -l names its group, usermod -aG GROUP standwatch-agent, restart the agent"

  /// What can't be opened, or looked into.
  init(_ path: String, _ error: SystemError) {
    self.path = path
    isRefused = !error.meansAbsent
    reason = isRefused ? errorText(error.code) : "nothing is there yet"
    mend =
      error.meansAbsent
      ? Self.absentMend : error.meansForbidden ? Self.permissionMend : "mend what the reason says; it is tried again"
  }
  private init(_ path: String, _ reason: String, _ mend: String, isRefused: Bool) {
    (self.path, self.reason, self.mend, self.isRefused) = (path, reason, mend, isRefused)
  }
  private static let absentMend = "check the path in agent.json5; what comes later is followed from its beginning"
  static func matchesNothing(_ pattern: String) -> FollowTrouble {
    FollowTrouble(pattern, "nothing matches it", absentMend, isRefused: false)
  }
  static func isNoFile(_ path: String) -> FollowTrouble {
    FollowTrouble(path, "it is excluded, or no plain file", absentMend, isRefused: false)
  }
  static func noJournal(_ reason: String) -> FollowTrouble {
    FollowTrouble("journal", reason, "set follow.journal to false where there is none", isRefused: false)
  }

  /// The first of them; the last one stands for the rest.
  static func bounded(_ troubles: [FollowTrouble]) -> [FollowTrouble] {
    guard troubles.count > most else { return troubles }
    var kept = Array(troubles.prefix(most))
    let left = troubles.count - most
    kept[most - 1].reason += " (and \(left) more like it)"
    return kept
  }
}

/// What of the configuration can't be followed now, by this process: for `--check`.
func followTroubles(_ settings: FollowSettings) -> [FollowTrouble] {
  var troubles: [FollowTrouble] = []
  for source in settings.files {
    let found = findFiles(source.paths, exclude: source.exclude, limit: FileFollower.greatestFiles)
    troubles += FollowTrouble.bounded(found.troubles + found.paths.compactMap(readingTrouble))
  }
  if let journal = settings.journal { troubles += journalTroubles(journal) }
  return troubles
}

/// Why the file can't be read; nil when it can.
private func readingTrouble(_ path: String) -> FollowTrouble? {
  do throws(SystemError) {
    _ = try openFile(path)
    return nil
  } catch {
    return FollowTrouble(path, error)
  }
}

/// The journal's files are opened by a program of their own: this looks whether it will be able to.
func journalTroubles(_ settings: JournalSettings) -> [FollowTrouble] {
  guard settings.program ?? findProgram("journalctl") != nil else {
    return [.noJournal("there is no journalctl, so the journal is not read")]
  }
  let folders = settings.folder.map { [$0] } ?? ["/var/log/journal", "/run/log/journal"]
  let patterns = folders.flatMap { [$0 + "/*.journal", $0 + "/*/*.journal"] }
  let found = findFiles(patterns, exclude: [], limit: 1000)
  var refused = found.troubles.filter(\.isRefused)
  refused += found.paths.compactMap(readingTrouble).filter(\.isRefused)
  if var first = refused.first {
    first.mend = "give the agent's user the group systemd-journal, and restart the agent"
    return [first]
  }
  return found.paths.isEmpty ? [.noJournal("there is no file of a journal in \(folders.joined(separator: ", "))")] : []
}
