// Rows for PostgreSQL itself: `scripts/test-schema --copy` has this test write them and copies them in.
import Chance
import Glibc
@testable import Telemetry
import Testing

private let directory = unsafe getenv("STANDWATCH_COPY_DIR").map { unsafe String(cString: $0) }

@Test(.enabled(if: directory != nil))
func `everything that is taken from mutated input is copied to files for PostgreSQL`() throws {
  let directory: String = try #require(directory)
  var random = SplitMix64(seed: 15)
  var batch = Batch()
  var decoder = NativeDecoder(window: TimeWindow(from: .min, until: .max), namesLog2: 16)
  var syslog = SyslogDecoder(window: TimeWindow(from: .min, until: .max), namesLog2: 16)
  // More names than one batch takes.
  var names: [UInt8] = []
  var nameCount = 0
  func takeNames() {
    names += unsafe batch.withBytes(of: batch.nameSlice) { unsafe Array($0) }
    nameCount += batch.nameCount
    batch.namesWereStored()
  }
  for round in 0..<60_000 {
    if batch.isFullOfNames { takeNames() }
    if round % 4 == 0 {
      let bytes = mutate(syslogSeeds[round / 4 % syslogSeeds.count], &random)
      syslog.decodeDatagram(bytes.span, peer: "192.0.2.1", now: nine, into: &batch)
      continue
    }
    var session = NativeSession(peer: "p", limits: NativeLimits(node: "a", epoch: 1, allowsAnonymous: true))
    var buffer = LineBuffer()
    _ = buffer.append((mutate(nativeSeeds[round / 4 % 9], &random, 0...2) + [10]).span)
    while session.mayDecode {
      let stop = decoder.decode(&buffer, &session.cursor, into: &batch, rowLimit: 1 << 24, byteLimit: 1 << 30)
      _ = session.decoded(stop)
      if stop == .incomplete || stop == .full { break }
    }
  }
  takeNames()
  let nameSlice = TableSlice(table: .name, bytes: 0..<names.count, rows: nameCount)
  for slice in batch.slices(of: 0..<batch.rowCount) + [nameSlice] {
    let rows = slice.table == .name ? names : unsafe batch.withBytes(of: slice) { unsafe Array($0) }
    let bytes = copyHeader + rows + copyTrailer
    let file = try unsafe #require(fopen("\(directory)/\(slice.table).copy", "w"))
    #expect(unsafe fwrite(bytes, 1, bytes.count, file) == bytes.count)
    #expect(unsafe fclose(file) == 0)
    let script =
      "\\copy \(slice.table.name) (\(slice.table.columns)) FROM '\(directory)/\(slice.table).copy' (FORMAT binary)\n"
      + "SELECT pg_temp.expect(count(*) = \(slice.rows), '\(slice.table)') FROM \(slice.table.name);\n"
    let scriptFile = try unsafe #require(fopen("\(directory)/\(slice.table).sql", "w"))
    #expect(unsafe fputs(script, scriptFile) >= 0)
    #expect(unsafe fclose(scriptFile) == 0)
  }
}
