// The configured addresses in the kernel: look, renew, remove, each checked afterwards. Native, no helper involved.
internal import Platform

/// All configured addresses as one group.
struct ServiceAddresses: ~Copyable {
  struct Configured: Equatable {
    var address: IPAddress
    var interface: String
  }
  let configured: [Configured]
  private var netlink: Netlink

  init(_ service: NodeConfiguration.Service) throws(SystemError) {
    // Into a local first: an autoclosure (`precondition`, `&&`) over a half-made noncopyable `self` makes this
    // compiler destroy the fields that are not there yet, and so close descriptor 0.
    let found = service.addresses.compactMap { entry in
      IPAddress(entry.address).map { Configured(address: $0, interface: entry.interface) }
    }
    // The configuration's own checks let nothing else through.
    precondition(found.count == service.addresses.count && found.count <= 16)
    configured = found
    netlink = try Netlink()
  }

  mutating func links() throws(SystemError) -> [LinkStatus] { try netlink.links() }

  /// Every place where the kernel has one of the addresses, whatever interface, prefix and lifetime.
  mutating func found() throws(SystemError) -> [InterfaceAddress] {
    let wanted = configured.map(\.address)
    return try netlink.addresses().filter { wanted.contains($0.address) }
  }

  /// Why a claim must not begin; nil when it may.
  mutating func obstacle() -> GuardFailure? {
    do {
      if try found().contains(where: { $0.validSeconds == nil }) { return GuardFailure(.staticAddress) }
      let links = try netlink.links()
      for entry in configured {
        guard let link = links.first(where: { $0.name == entry.interface }) else {
          return GuardFailure(.interfaceMissing)
        }
        if !link.isUp { return GuardFailure(.carrierDown) }
      }
      return nil
    } catch {
      return GuardFailure(.kernel, detail: error.code)
    }
  }

  /// Nil when every address is on its interface, alone (/32, /128) and with a lifetime of at most `seconds`.
  mutating func unverified(within seconds: UInt32) -> GuardFailure? {
    do {
      let found = try found()
      let links = try netlink.links()
      if found.contains(where: { $0.validSeconds == nil }) { return GuardFailure(.staticAddress) }
      for entry in configured {
        let here = found.filter { $0.address == entry.address }
        guard let link = links.first(where: { $0.name == entry.interface }), let only = here.first, here.count == 1,
          only.interface == link.index, only.prefix == entry.address.fullPrefix, let valid = only.validSeconds,
          valid <= seconds
        else { return GuardFailure(.notVerified) }
      }
      return nil
    } catch {
      return GuardFailure(.kernel, detail: error.code)
    }
  }

  /// Gives every address its lifetime anew. Looks first: the kernel would add an absent one.
  mutating func renew(seconds: UInt32) -> GuardFailure? {
    do {
      let found = try found()
      let links = try netlink.links()
      var indices: [Int32] = []
      for entry in configured {
        guard let link = links.first(where: { $0.name == entry.interface }) else {
          return GuardFailure(.interfaceMissing)
        }
        let here = found.first {
          $0.address == entry.address && $0.interface == link.index && $0.prefix == entry.address.fullPrefix
        }
        guard let here else { return GuardFailure(.absent) }
        guard here.validSeconds != nil else { return GuardFailure(.staticAddress) }
        indices.append(link.index)
      }
      for (entry, index) in zip(configured, indices) {
        try netlink.hold(entry.address, interface: index, validSeconds: seconds)
      }
      return nil
    } catch {
      return GuardFailure(.kernel, detail: error.code)
    }
  }

  /// Removes the addresses wherever they have a lifetime, and verifies that they are gone. What we held is ours even
  /// when somebody has made it static meanwhile; a static address elsewhere is somebody's own and fails the check.
  mutating func remove(held: Bool) -> GuardFailure? {
    do {
      let links = try netlink.links()
      for entry in try found() {
        let ours = configured.contains { own in
          own.address == entry.address && entry.prefix == own.address.fullPrefix
            && links.contains { $0.name == own.interface && $0.index == entry.interface }
        }
        if entry.validSeconds != nil || held && ours { try netlink.remove(entry) }
      }
      let left = try found()
      if left.isEmpty { return nil }
      return GuardFailure(left.contains { $0.validSeconds == nil } ? .staticAddress : .stillPresent)
    } catch {
      return GuardFailure(.kernel, detail: error.code)
    }
  }

  /// Which addresses are there, and the shortest lifetime of those.
  mutating func presence() throws(SystemError) -> (present: [Bool], shortestSeconds: UInt32?) {
    let found = try found()
    let present = configured.map { own in found.contains { $0.address == own.address } }
    return (present, found.compactMap(\.validSeconds).min())
  }

  func index(of address: IPAddress) -> Int? { configured.firstIndex { $0.address == address } }
}
