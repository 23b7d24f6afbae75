// Crashes written down, and what is refused read: by the thread "upkeep", on every node, active or not.
internal import Platform
internal import Postgres

/// State of its thread.
struct QuarantineReading {
  let board: QuarantineBoard
  let evidence: CrashEvidence?
  let node: String
  private(set) var next = BootInstant.now()
  /// Read more often just after a takeover: the other node may be about to say of what it crashed.
  private var hurriedUntil = BootInstant(nanoseconds: 0)

  init(board: QuarantineBoard, evidence: CrashEvidence?, node: String) {
    (self.board, self.evidence, self.node) = (board, evidence, node)
  }

  mutating func activated() {
    hurriedUntil = .after(milliseconds: 2 * Quarantine.youngMilliseconds)
    next = .now()
  }

  /// A round failed; `next` stands already where the connection did, else a second from now.
  mutating func postpone() { next = max(next, .after(milliseconds: 250)) }

  /// True when what is refused has changed.
  mutating func round(_ connection: inout Connection, deadline: BootInstant) throws(PostgresError) -> Bool {
    let now = BootInstant.now()
    next = now.adding(milliseconds: now < hurriedUntil ? 250 : 1000)
    try record(&connection, deadline)
    let found = try connection.run(
      "SELECT id, scope, protocol, source, address, encode(digest, 'hex') FROM ingest.quarantined() LIMIT 10000",
      deadline: deadline)
    var quarantine = Quarantine()
    for row in found.rows where row.count == 6 {
      quarantine.add(
        id: row[0].flatMap { Int64($0) } ?? 0, scope: row[1] ?? "",
        Sender(protocolName: row[2] ?? "", source: row[3] ?? ""), address: row[4] ?? "",
        digest: bytes(hex: row[5] ?? ""))
    }
    guard quarantine != board.quarantine else { return false }
    board.set(quarantine)
    return true
  }

  /// Forgotten only once it is committed.
  private func record(_ connection: inout Connection, _ deadline: BootInstant) throws(PostgresError) {
    guard let evidence else { return }
    for record in evidence.pending() {
      guard let crash = Crash(record) else {
        evidence.forget(record)
        continue
      }
      let outcome = try connection.query(
        "SELECT ingest.note_crash($1, $2::integer, $3, $4, $5, $6::boolean, $7::bytea)",
        [
          node, String(record.signal), plain(crash.sender.protocolName), plain(crash.sender.source),
          plain(crash.address), record.isExact ? "true" : "false", "\\x" + hex(record.bytes),
        ], deadline: deadline)
      evidence.forget(record)
      let id = outcome.scalar.flatMap { Int64($0) } ?? 0
      log(
        .error, id > 0 ? "quarantined: a worker crashed twice with this in hand" : "a worker crashed with this in hand",
        [
          "protocol": crash.sender.protocolName, "source": crash.sender.source, "address": crash.address,
          "signal": "\(record.signal)", "bytes": "\(record.bytes.count)", "quarantine": "\(id)",
        ])
    }
  }
  /// PostgreSQL keeps no NUL, and the evidence is a dead process's.
  private func plain(_ text: String) -> String { String(text.unicodeScalars.filter { $0 != "\0" }) }
  private func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
  private func bytes(hex: String) -> [UInt8] {
    func nibble(_ digit: UInt8) -> UInt8 { digit <= 57 ? digit &- 48 : digit &- 87 }
    let digits = Array(hex.utf8)
    return (0..<digits.count / 2).map { nibble(digits[$0 * 2]) << 4 | nibble(digits[$0 * 2 + 1]) }
  }
}
