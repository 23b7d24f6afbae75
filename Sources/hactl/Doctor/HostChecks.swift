// What this host has to be: configuration and files, interfaces, service IP, ports, helpers.
internal import Node
internal import Platform
internal import Postgres

func checkConfiguration(_ configuration: NodeConfiguration, path: String, _ checkup: inout Checkup) {
  checkup.fine("\(path) is sound: cluster \(configuration.cluster), node \(configuration.node)")
  // The loader refuses a beat key that others can read.
  checkup.fine("\(configuration.peers.keys.count) beat key(s), readable by nobody else")
  let hasPassword = configuration.database.connection["password"] != nil
  if hasPassword, let status = try? fileStatus(path), status.isReadableByOthers {
    checkup.error("\(path) has PostgreSQL's password and is readable by everybody", "chmod o= \(path), or use passfile")
  }
  if let file = configuration.database.connection["passfile"] {
    do throws(SystemError) {
      let status = try fileStatus(file)
      checkup.require(
        status.mode & 0o077 == 0, "\(file) is readable by its owner alone",
        else: "\(file) is open to others, so libpq passes it over without a word", "chmod 600 \(file)")
    } catch {
      checkup.error("\(error)", "database.connection names it as passfile; make it: host:port:dbname:user:password")
    }
  }
  checkTLS(configuration.listen, user: configuration.user, at: wallMicroseconds() / 1_000_000, &checkup)
  let helpers = configuration.service.helpers
  for script in [helpers.claim, helpers.renew, helpers.release, helpers.status].compactMap({ $0 }) {
    checkHelper(script, &checkup)
  }
  if configuration.peers.nodes.isEmpty {
    checkup.warn("no other node is configured: nobody would take over", "add peers.nodes to \(path)")
  } else if configuration.peers.listen.count < 2 {
    checkup.note(
      "peers are heard over one link only: its failure looks like a peer's death until PostgreSQL is asked",
      "add a second address to peers.listen and to each node of peers.nodes, on another network")
  }
  let timing = configuration.timing
  checkup.fine(
    "lease \(timing.leaseMilliseconds) ms, beats every \(timing.beatMilliseconds) ms, silence after "
      + "\(timing.silenceMilliseconds) ms; they have to be the same on all nodes")
}

private func checkHelper(_ script: String, _ checkup: inout Checkup) {
  do throws(SystemError) {
    let status = try fileStatus(script)
    if !isExecutable(script) || status.mode & 0o111 == 0 {
      checkup.error("helper \(script) is not executable", "chmod 755 \(script)")
    } else if status.user != 0 || status.mode & 0o022 != 0 {
      checkup.error(
        "helper \(script) can be changed by others than root, and root runs it",
        "chown root: \(script) && chmod go-w \(script)")
    } else {
      checkup.fine("helper \(script) is executable, and root's")
    }
  } catch {
    checkup.error("helper: \(error)", "install the scripts of ha/, or name them in service.helpers")
  }
}

func checkNetwork(_ configuration: NodeConfiguration, _ status: NodeStatus?, _ checkup: inout Checkup) {
  for interface in Set(configuration.service.addresses.map(\.interface)).sorted() {
    checkInterface(interface, &checkup)
  }
  for address in configuration.service.addresses { checkServiceAddress(address, status, &checkup) }
  if status == nil {
    let listen = configuration.listen
    for (key, addresses, datagram) in [
      ("native", listen.native, false), ("syslogTCP", listen.syslogTCP, false), ("syslogUDP", listen.syslogUDP, true),
      ("forward", listen.forward, false), ("zabbix", listen.zabbix, false), ("influxTCP", listen.influxTCP, false),
      ("http", listen.http, false), ("peers", configuration.peers.listen, true),
    ] {
      for address in addresses { checkPort(key, address, datagram, &checkup) }
    }
  } else {
    for address in configuration.listen.http { checkHTTP(address, &checkup) }
  }
}

private func checkInterface(_ interface: String, _ checkup: inout Checkup) {
  let folder = "/sys/class/net/\(interface)"
  guard isFolder(folder) else {
    checkup.error("there is no interface \(interface)", "`ip -br link` lists them; mend service.addresses")
    return
  }
  // Reading the carrier of an interface that is down is an error (EINVAL).
  let carrier = (try? readFile(folder + "/carrier", limit: 16)).map { String(decoding: $0, as: UTF8.self) } ?? "0"
  checkup.require(
    carrier.hasPrefix("1"), "interface \(interface) is up and has a carrier",
    else: "interface \(interface) has no carrier, or is down", "ip link set \(interface) up; look at the cable")
}

private func checkServiceAddress(
  _ service: NodeConfiguration.ServiceAddress, _ status: NodeStatus?, _ checkup: inout Checkup
) {
  // Either way there is no list.
  guard let ip = findProgram("ip"),
    let shown = try? runCommand(
      ip, ["-o", "address", "show", "to", service.address], deadline: .after(milliseconds: 2000)), shown.succeeded
  else {
    checkup.warn("the addresses of this host can't be listed", "install iproute2")
    return
  }
  let lines = shown.output.split(separator: "\n")
  let held = status?.serviceAddresses.first { $0.address == service.address }?.held ?? false
  if let line = lines.first(where: { $0.contains("valid_lft forever") }) {
    checkup.error(
      "\(service.address) is a permanent address here, so two hosts could have it: \(line.prefix(60))",
      "take it out of the host's network configuration and: ip address del \(service.address)/32 dev \(service.interface)"
    )
  } else if lines.isEmpty {
    checkForeign(service, status, &checkup)
  } else if !held && status != nil {
    checkup.error(
      "\(service.address) is on this host, but the node says it does not hold it",
      "look again in three seconds; then: journalctl -u standwatchd")
  } else if !lines.contains(where: { $0.contains(" \(service.interface) ") }) {
    checkup.error("\(service.address) is on another interface than \(service.interface)", "remove it there")
  } else {
    checkup.fine("service IP \(service.address) is held here, with a lifetime that ends by itself")
  }
}

/// Nobody of ours has it: then nobody may answer.
private func checkForeign(
  _ service: NodeConfiguration.ServiceAddress, _ status: NodeStatus?, _ checkup: inout Checkup
) {
  let peers = status?.peers ?? []
  if let holder = peers.first(where: { $0.addressHeld && !$0.silent }) {
    checkup.fine("service IP \(service.address) is held by \(holder.node), not here")
    return
  }
  guard status != nil, !peers.contains(where: \.silent), let ping = findProgram("ping") else {
    checkup.note("service IP \(service.address) is not on this host; whether another has it can't be told from here")
    return
  }
  // A ping that could not be sent is no answer.
  let answer = try? runCommand(
    ping, ["-c", "1", "-W", "1", service.address], deadline: .after(milliseconds: 2000))
  if answer?.succeeded == true {
    checkup.error(
      "\(service.address) answers, but no node holds it: another host has this address",
      "find it (ip neighbour show \(service.address)) and take the address away from it")
  } else {
    checkup.fine("service IP \(service.address) is free")
  }
}

private func checkPort(_ key: String, _ address: SocketAddress, _ datagram: Bool, _ checkup: inout Checkup) {
  do throws(SystemError) {
    if datagram { _ = try bindDatagram(address) } else { _ = try listenStream(address, freeBind: true) }
    checkup.fine("\(key) \(address) is free")
  } catch {
    let inUse = errorText(error.code) == errorText(98)
    checkup.error(
      "\(key) \(address): \(errorText(error.code))",
      inUse
        ? "another program has it: ss -\(datagram ? "u" : "t")lnp | grep :\(address.port)"
        : "run doctor as root, or mend the address in the configuration")
  }
}

private func checkHTTP(_ address: SocketAddress, _ checkup: inout Checkup) {
  // 0.0.0.0 and :: connect to this host.
  do throws(SystemError) {
    let socket = try connectStream(address, deadline: .after(milliseconds: 1000))
    let request = Array("GET /healthz HTTP/1.0\r\n\r\n".utf8)
    _ = send(socket.raw, request)
    var buffer = [UInt8](repeating: 0, count: 1024)
    _ = wait(socket.raw, for: .read, until: .after(milliseconds: 1000))
    guard case .done(let count) = receive(socket.raw, into: &buffer) else {
      checkup.error("HTTP \(address) accepts but does not answer", "journalctl -u standwatchd")
      return
    }
    let answer = String(decoding: buffer[..<count], as: UTF8.self)
    checkup.require(
      answer.contains(" 200 "), "HTTP \(address) answers: healthy",
      else: "HTTP \(address): \(answer.split(separator: "\n").last ?? "")", "journalctl -u standwatchd")
  } catch {
    checkup.error(
      "HTTP \(address): \(errorText(error.code))", "the node runs but does not listen there: journalctl -u standwatchd")
  }
}
