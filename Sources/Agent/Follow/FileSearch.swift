// Files that patterns of paths lead to, with a bound on what is looked at.
internal import Platform

/// Paths of plain files, sorted, at most `limit`; and the folders that were looked into, which are worth watching.
func findFiles(_ patterns: [String], exclude: [String], limit: Int) -> (paths: [String], folders: Set<String>) {
  var found: Set<String> = []
  var folders: Set<String> = []
  for pattern in patterns {
    let names = pattern.split(separator: "/").map(String.init)
    var here = [""]
    for (index, name) in names.enumerated() {
      var next: [String] = []
      for folder in here where next.count < limit {
        let isLast = index == names.count - 1
        if isLast || isGlob(name) { folders.insert(folder.isEmpty ? "/" : folder) }
        if !isGlob(name) {
          next.append("\(folder)/\(name)")
          continue
        }
        // Not there, or not ours to read: nothing to follow yet.
        for candidate in (try? namesInFolder(folder.isEmpty ? "/" : folder)) ?? []
        where globMatches(name, candidate) && (!candidate.hasPrefix(".") || name.hasPrefix(".")) && next.count < limit {
          next.append("\(folder)/\(candidate)")
        }
      }
      here = next
    }
    for path in here where found.count < limit && !isExcluded(path, exclude) && fileIdentity(path)?.isRegular == true {
      found.insert(path)
    }
  }
  return (found.sorted(), folders)
}

/// By the whole path or by its last name.
private func isExcluded(_ path: String, _ exclude: [String]) -> Bool {
  let last = path.split(separator: "/").last.map(String.init) ?? path
  return exclude.contains { globMatches($0, $0.hasPrefix("/") ? path : last) }
}
