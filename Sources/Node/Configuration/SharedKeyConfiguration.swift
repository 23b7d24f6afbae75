// The key that senders of the Forward protocol share with the nodes: a file, so that the configuration holds no secret.
internal import Configuration
internal import Platform

extension NodeConfiguration {
  /// The file's text without the line end, as fluentd's `shared_key` has it; nil when no file is named.
  static func sharedKey(_ section: inout ConfigurationSection) throws(ConfigurationError) -> [UInt8]? {
    let key = "forwardSharedKeyFile"
    guard let path = try section.textIfAny(key) else { return nil }
    let mend = "Write the shared_key of the senders to \(path), then: chgrp standwatch \(path) && chmod 640 \(path)"
    var bytes: [UInt8]
    do {
      if try fileStatus(path).isReadableByOthers {
        throw section.error(key, "\(path) can be read by others", "chmod 640 \(path)")
      }
      bytes = try readFile(path, limit: 4096)
    } catch let error as ConfigurationError {
      throw error
    } catch let error as SystemError {
      throw section.error(key, "\(path) cannot be read: \(errorText(error.code))", mend)
    } catch {
      throw section.error(key, "\(path) cannot be read: \(error)", mend)
    }
    while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
    guard !bytes.isEmpty else { throw section.error(key, "\(path) is empty", mend) }
    return bytes
  }
}
