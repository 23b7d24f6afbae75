// TLS on the intake: what is open to whoever reads the network, and certificates that end.
internal import Node
internal import Platform

/// `seconds`: the time since 1970.
func checkTLS(_ listen: NodeConfiguration.Listen, user: String?, at seconds: Int64, _ checkup: inout Checkup) {
  guard let tls = listen.tls else {
    return checkup.note(
      "the intake listens without TLS: who can read the network reads the records",
      "listen.tls in node.json5, see the README's section on TLS; or keep the ports in a network you trust")
  }
  if let (problem, isOver) = tls.expiry(at: seconds) {
    let mend = "renew it; nodes take the new file without a restart"
    if isOver { checkup.error(problem, mend) } else { checkup.warn(problem, mend) }
  } else if let certificate = tls.certificatePath, let days = tls.daysLeft(at: seconds) {
    checkup.fine("the certificate in \(certificate) is valid for \(days) more days")
  }
  if let key = tls.keyPath, let user { checkReadable(key, by: user, &checkup) }
  let open = listen.inPlainText
  guard !open.isEmpty else { return checkup.fine("the intake takes records over TLS alone") }
  let finding = "\(open.joined(separator: ", ")) of listen take records in plain text"
  if tls.isMutual {
    checkup.warn(
      finding + ": no certificate is asked for there", "set them to \"required\" in listen.tls, or close them with []")
  } else {
    checkup.note(finding, "set them to \"required\" in listen.tls once all senders speak TLS")
  }
}

/// The worker, which runs as `user`, reads a renewed key itself.
private func checkReadable(_ key: String, by user: String, _ checkup: inout Checkup) {
  guard let identity = try? findUser(user), let status = try? fileStatus(key) else { return }
  let byOwner = status.user == identity.user && status.mode & 0o400 != 0
  let byGroup = status.group == identity.group && status.mode & 0o040 != 0
  if !byOwner && !byGroup {
    checkup.warn(
      "\(user) can't read \(key): a renewed key would be used after a restart only",
      "chgrp \(user) \(key) && chmod 640 \(key)")
  }
}
