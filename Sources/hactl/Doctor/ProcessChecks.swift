// The running node: answers, is unprivileged, has its priorities, and hears its peers.
internal import Node
internal import Platform

func checkProcesses(_ configuration: NodeConfiguration, _ status: NodeStatus?, _ checkup: inout Checkup) {
  guard let status else {
    let reason: String
    do throws(ControlError) {
      _ = try askStatus(configuration)
      reason = "it answered only now"
    } catch { reason = error.description }
    checkup.error("the node does not answer: \(reason)", "systemctl start standwatchd; journalctl -u standwatchd")
    return
  }
  checkup.fine("node \(status.node) answers: \(status.state), version \(status.version)")
  if status.version != standwatchVersion {
    checkup.warn(
      "the node runs \(status.version), this tool is \(standwatchVersion)",
      "restart the node after an upgrade (standbys first)")
  }
  for fault in status.faults {
    checkup.error("the node is unfit to lead: \(fault)", "mend that; it comes back by itself")
  }
  for thread in status.threads where thread.lastTickMilliseconds > thread.limitMilliseconds {
    checkup.error("thread \(thread.name) hangs", "the guard restarts a worker that hangs: journalctl -u standwatchd")
  }
  if let user = processField(status.pid, "Uid:") {
    if configuration.user == nil, user == "0" {
      checkup.warn("the worker runs as root", "give it a user of its own: user: \"standwatch\"")
    } else {
      checkup.require(
        user != "0", "the worker is unprivileged (uid \(user))", else: "the worker still runs as root",
        "it should be \(configuration.user ?? "another user"): journalctl -u standwatchd")
    }
  }
  let scraped = status.ingest.scrape.filter { $0.isUp == true }.count
  if let down = status.scrapesDown {
    checkup.warn(down.problem, down.mend)
  } else if status.isActive, scraped > 0 {
    checkup.fine("\(scraped) scrape target\(scraped == 1 ? " is" : "s are") up")
  }
  checkPriorities(status.pid, &checkup)
  checkFileLimit(status.pid, configuration.ingest.maxConnections, &checkup)
  // Readable only for root; as another user this is left out.
  if let environment = try? readFile("/proc/\(status.pid)/environ"),
    !String(decoding: environment, as: UTF8.self).split(separator: "\0").contains(where: {
      $0.hasPrefix("SWIFT_BACKTRACE=") && $0.contains("enable=no")
    })
  {
    checkup.warn(
      "the worker would print a backtrace if it crashed, and hold its sockets and the lock meanwhile",
      "set SWIFT_BACKTRACE=enable=no in the unit, as ha/standwatchd.service does")
  }
}

/// A field of `/proc/PID/status`, its first value.
private func processField(_ process: Int32, _ name: String) -> String? {
  guard let text = try? readFile("/proc/\(process)/status", limit: 1 << 16) else { return nil }  // it ended meanwhile
  let line = String(decoding: text, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
  return line?.dropFirst(name.count).split(whereSeparator: { $0 == " " || $0 == "\t" }).first.map(String.init)
}

/// Threads that decide need to run at once: by `/proc`, so that what was granted counts.
private func checkPriorities(_ process: Int32, _ checkup: inout Checkup) {
  let folder = "/proc/\(process)/task"
  guard let threads = try? namesInFolder(folder) else { return }  // it ended meanwhile
  var plain: [String] = []
  var seen = 0
  for thread in threads {
    guard let bytes = try? readFile("\(folder)/\(thread)/stat", limit: 4096) else { continue }  // the thread ended
    let text = String(decoding: bytes, as: UTF8.self)
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else { continue }
    let name = String(text[text.index(after: open)..<close])
    guard ["control", "lease", "watch", "peers"].contains(name) else { continue }
    seen += 1
    // proc(5): after the name come fields 3 to 52; 19 is nice, 41 the policy (1 is SCHED_FIFO).
    let fields = text[text.index(after: close)...].split(separator: " ")
    guard fields.count > 38 else { continue }
    if fields[38] != "1", (Int(fields[16]) ?? 0) > -5 { plain.append(name) }
  }
  if seen == 0 { return }
  if plain.isEmpty {
    checkup.fine("the deciding threads have their priority")
  } else {
    checkup.warn(
      "no priority for \(plain.joined(separator: ", ")): under load they wake up late, and a healthy node may step down",
      "LimitRTPRIO=20 in the unit, as ha/standwatchd.service has it")
  }
}

private func checkFileLimit(_ process: Int32, _ connections: Int, _ checkup: inout Checkup) {
  guard let text = try? readFile("/proc/\(process)/limits", limit: 1 << 16) else { return }  // it ended meanwhile
  let line = String(decoding: text, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("Max open files") }
  guard let limit = line?.split(separator: " ").dropFirst(3).first.flatMap({ Int($0) }) else { return }
  if limit >= connections + 64 {
    checkup.fine("\(limit) open files allowed, for \(connections) connections")
  } else {
    checkup.warn(
      "\(limit) open files allowed, but ingest.maxConnections is \(connections)",
      "LimitNOFILE=\(connections + 1024) in the unit")
  }
}

/// The status again while a peer is not well, at most three seconds: right after a start, or in a busy moment, what a
/// beat says is not yet a finding.
func settled(_ status: NodeStatus, _ configuration: NodeConfiguration) -> NodeStatus {
  var status = status
  let deadline = BootInstant.after(milliseconds: 3000)
  while status.peers.contains(where: { $0.silent || !$0.databaseReachable }), BootInstant.now() < deadline {
    sleep(until: .after(milliseconds: 200))
    guard let next = try? askStatus(configuration) else { break }  // what was heard before is told then
    status = next
  }
  return status
}

func checkPeers(_ configuration: NodeConfiguration, _ status: NodeStatus, _ checkup: inout Checkup) {
  for peer in status.peers {
    for link in peer.links {
      let heard = link.lastHeardMilliseconds ?? .infinity
      if heard < Double(configuration.timing.silenceMilliseconds) {
        let trip = link.roundTripMilliseconds.map { ", round trip \(milliseconds($0))" } ?? ""
        checkup.fine("\(peer.node) is heard by \(link.link)\(trip)")
      } else {
        checkup.error(
          "no beat of \(peer.node) by \(link.link)" + (heard.isFinite ? " for \(milliseconds(heard))" : " yet"),
          "is it running? is UDP \(link.link) open in both directions? do both nodes have the same key?")
      }
      let forged = link.dropped.filter { $0.key.lowercased().contains("authentic") && $0.value > 0 }
      if let count = forged.values.max() {
        checkup.warn(
          "\(count) beats with a wrong key were dropped", "copy the first key file from one node to all others")
      }
    }
    if !peer.silent, !peer.databaseReachable {
      checkup.error("\(peer.node) says that it can't reach PostgreSQL", "run hactl doctor on \(peer.node)")
    }
  }
}
