// The hot path keeps no memory per record: counted by the C library's allocator.
import Glibc
@testable import Telemetry
import Testing

/// Bytes in use of all heaps, by malloc_info(3).
private func bytesInUse() throws -> Int {
  typealias Info = @convention(c) (Int32, OpaquePointer) -> Int32
  let symbol = try unsafe #require(dlsym(nil, "malloc_info"))
  // Sound: this is the function's type (malloc.h, which the Glibc module leaves out); FILE is opaque.
  let mallocInfo = unsafe unsafeBitCast(symbol, to: Info.self)
  let file = try unsafe #require(tmpfile())
  defer { unsafe _ = fclose(file) }
  #expect(unsafe mallocInfo(0, OpaquePointer(file)) == 0)
  unsafe rewind(file)
  var text: [UInt8] = Array(repeating: 0, count: 1 << 20)
  let count = unsafe fread(&text, 1, text.count, file)
  // The sums over all heaps come last: free, in mappings of their own, and got from the system.
  let lines = String(decoding: text[0..<count], as: UTF8.self).split(separator: "\n")
  func last(_ element: String) -> Int {
    let found = lines.last { $0.hasPrefix(element) } ?? ""
    return Int(found.split(separator: "size=\"").last?.prefix { $0.isNumber } ?? "") ?? 0
  }
  return last("<system type=\"current\"") + last("<total type=\"mmap\"") - last("<total type=\"fast\"")
    - last("<total type=\"rest\"")
}

/// In a process of its own: what other tests take at the same time is none of ours.
@Test func `records of every type are decoded without keeping memory`() async {
  await #expect(processExitsWith: .success) { try decodeAndCount() }
}

private func decodeAndCount() throws {
  let types = [
    #""type":"queue","queue":"q","depth":3,"capacity":7"#,
    #""type":"step","txn":"T","step":"s","status":"ok","attrs":{"a":[1,"b"]}"#,
    #""type":"job","job":"j","duration_us":5,"status":"ok","txn":"T""#,
    #""type":"metric","name":"m","value":0.30000000000000004,"labels":{"k":"v"}"#,
    #""type":"log","severity":6,"message":"a \"quote\" and \u00e9 and 로트""#, #""type":"event","kind":"k""#,
    #""type":"process","process":"p","state":"running","pid":1,"up_ms":2,"cpu":1.5,"memory":3,"threads":4"#,
    #""type":"web","method":"GET","path":"/a\u00e9/7","code":200,"client":"10.0.0.7","agent":"x \"y\"","attrs":{}"#,
    #""type":"span","trace":"0af7651916cd43dd8448eb211c80319c","span":"b7ad6b7169203331","name":"n","kind":"server","#
      + #""duration_us":5,"status":"ok","parent":"b7ad6b7169203332""#,
  ]
  var c = Connection()
  func lines(_ seqs: ClosedRange<Int>) -> [UInt8] {
    seqs.flatMap {
      Array(#"{"seq":\#($0),"ts":"2026-11-20T09:00:\#(10 + $0 % 40)Z","host":"h","app":"a",\#(types[$0 % 9])}"#.utf8)
        + [10]
    }
  }
  // Buffers grow and names get known in the first rounds.
  c.feed(lines(1...1200))
  _ = c.session.committed(through: 1200)
  c.batch.removeAll()
  var grown: [Int] = []
  for round in 1...20 {
    let first = round * 1000 + 201
    let text = lines(first...first + 999)
    #expect(c.buffer.append(text.span) == text.count)
    let before = try bytesInUse()
    let stop = c.decoder.decode(&c.buffer, &c.session.cursor, into: &c.batch, rowLimit: 1 << 20, byteLimit: 1 << 28)
    try grown.append(bytesInUse() - before)
    #expect(stop == .incomplete && c.batch.rowCount == 1000 && c.batch.rejects.isEmpty)
    c.batch.removeAll()
    _ = c.session.committed(through: Int64(first + 999))
  }
  // The smallest object of the heap, kept for each record, would be 32,000.
  #expect(grown.sorted()[10] < 16_000, "\(grown)")
}
