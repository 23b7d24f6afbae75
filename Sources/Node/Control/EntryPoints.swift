// What the daemon's entry point calls beside guard and worker.
internal import Configuration
internal import Platform

/// Reads the configuration and runs the guard with it; the process's exit status.
public func runNode(configurationPath: String) -> Int32 {
  do {
    return runGuard(
      configuration: try NodeConfiguration.load(path: configurationPath), configurationPath: configurationPath)
  } catch {
    log(.error, "refused to start", ["reason": error.description])
    return workerRefuses
  }
}

/// Keys and passwords must not get to a disk by a crash. Said and lived with where the kernel refuses.
func forbidCores() {
  do { try forbidCoreDumps() } catch { log(.warning, "core dumps can't be forbidden", ["reason": "\(error)"]) }
}

/// `standwatchd --check`: reads and checks the configuration and its key files; the process's exit status.
public func checkConfiguration(path: String) -> Int32 {
  do {
    let configuration = try NodeConfiguration.load(path: path)
    // A node starts with it all the same: senders that don't verify, or don't speak TLS, are still served.
    if let found = configuration.listen.tls?.expiry(at: wallMicroseconds() / 1_000_000), found.isOver {
      print("\(path): listen.tls.certificate: \(found.problem). Renew it: nodes take the new file without a restart")
      return workerRefuses
    }
    print("\(path): node \(configuration.node) of cluster \(configuration.cluster), as it should be")
    return 0
  } catch {
    print(error)
    return workerRefuses
  }
}

/// Ends the process with everything written; threads that still run are cut off.
public func exitProcess(_ status: Int32) -> Never { exitNow(status) }
