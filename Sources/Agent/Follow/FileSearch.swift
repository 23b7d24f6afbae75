// Files that patterns of paths lead to, with a bound on what is looked at.
internal import Platform

struct FoundFiles {
  /// Of plain files, sorted.
  var paths: [String] = []
  /// That were looked into: they are worth watching.
  var folders: Set<String> = []
  /// Patterns that lead to nothing, each with the reason.
  var troubles: [FollowTrouble] = []
}

/// At most `limit` files.
func findFiles(_ patterns: [String], exclude: [String], limit: Int) -> FoundFiles {
  var found: Set<String> = []
  var folders: Set<String> = []
  var troubles: [FollowTrouble] = []
  for pattern in patterns {
    let names = pattern.split(separator: "/").map(String.init)
    var here = [""]
    // Of the first folder that could not be looked into.
    var refusal: FollowTrouble?
    for (index, name) in names.enumerated() {
      var next: [String] = []
      for folder in here where next.count < limit {
        let isLast = index == names.count - 1
        if isLast || isGlob(name) { folders.insert(folder.isEmpty ? "/" : folder) }
        if !isGlob(name) {
          next.append("\(folder)/\(name)")
          continue
        }
        for candidate in listed(folder.isEmpty ? "/" : folder, &refusal)
        where globMatches(name, candidate) && (!candidate.hasPrefix(".") || name.hasPrefix(".")) && next.count < limit {
          next.append("\(folder)/\(candidate)")
        }
      }
      here = next
    }
    if found.count >= limit { break }
    var isFound = false
    for path in here where found.count < limit && !isExcluded(path, exclude) && fileIdentity(path)?.isRegular == true {
      found.insert(path)
      isFound = true
    }
    if let refusal {
      troubles.append(refusal)
    } else if !isFound {
      troubles.append(reason(pattern, here.first))
    }
  }
  return FoundFiles(paths: found.sorted(), folders: folders, troubles: troubles)
}

/// None where the folder is not there, or not ours to read.
private func listed(_ folder: String, _ refusal: inout FollowTrouble?) -> [String] {
  do throws(SystemError) {
    return try namesInFolder(folder)
  } catch {
    let trouble = FollowTrouble(folder, error)
    if refusal == nil, trouble.isRefused { refusal = trouble }
    return []
  }
}

/// Why a pattern leads to nothing; `candidate`: the first name that it led to.
private func reason(_ pattern: String, _ candidate: String?) -> FollowTrouble {
  guard let candidate else { return .matchesNothing(pattern) }
  do throws(SystemError) {
    _ = try openFile(candidate)
    return .isNoFile(candidate)
  } catch {
    return FollowTrouble(candidate, error)
  }
}

/// By the whole path or by its last name.
private func isExcluded(_ path: String, _ exclude: [String]) -> Bool {
  let last = path.split(separator: "/").last.map(String.init) ?? path
  return exclude.contains { globMatches($0, $0.hasPrefix("/") ? path : last) }
}
