// What the callbacks of libmicrohttpd reach: who is connected, which bodies are on their way, what waits for an answer.
internal import CMicroHTTPD
internal import Platform

/// One request, from its headers to its answer.
@safe final class Upload {
  let number: UInt64
  let client: UInt
  // Sound: used only while the upload is in `Exchange.uploads`, which it leaves before the connection is freed.
  let connection: OpaquePointer
  let takesBody: Bool
  var request: HTTPRequest
  /// Bytes of the body so far, kept or not.
  var received = 0
  /// Its part of `Exchange.bodyBytes`.
  var counted = 0
  /// Why the body is dropped as it comes; told when it has ended.
  var refusal: HTTPAnswer?
  var answer: HTTPAnswer?
  var isSuspended = false
  init(_ number: UInt64, _ client: UInt, _ connection: OpaquePointer, _ request: HTTPRequest, takesBody: Bool) {
    (self.number, self.client, self.request, self.takesBody) = (number, client, request, takesBody)
    unsafe self.connection = connection
  }
}

final class Exchange {
  struct Client {
    var descriptor: Int32
    /// When the request that is coming has to be whole; nil while an answer is being made.
    var deadline: BootInstant?
    var requests = 0
    var isLate = false
    /// Something was there to be read when it was looked at last.
    var hadUnread = false
  }
  let limits: HTTPLimits
  let admit: (HTTPRequest) -> HTTPAdmission
  let refuse: (HTTPRequest, HTTPRefusal) -> HTTPAnswer
  let answer: (HTTPRequest) -> HTTPAnswer
  /// By the address of libmicrohttpd's connection, which is one connection's until it was told to be closed.
  var clients: [UInt: Client] = [:]
  var uploads: [UInt64: Upload] = [:]
  /// Uploads that are whole and not given out yet.
  var ready: [UInt64] = []
  private(set) var bodyBytes = 0
  /// The same by the address of the client.
  private var bodyBytesOf: [String: Int] = [:]
  /// More of a body came in the last run: there may be more in the socket, for which nothing wakes us.
  var hasProgressed = false
  var counts = HTTPCounts()
  private var next: UInt64 = 1

  init(
    limits: HTTPLimits, admit: @escaping (HTTPRequest) -> HTTPAdmission,
    refuse: @escaping (HTTPRequest, HTTPRefusal) -> HTTPAnswer, answer: @escaping (HTTPRequest) -> HTTPAnswer
  ) {
    (self.limits, self.admit, self.refuse, self.answer) = (limits, admit, refuse, answer)
  }

  func closeLate(_ now: BootInstant) {
    for (key, client) in clients {
      guard let deadline = client.deadline, deadline <= now else { continue }
      counts.late += 1
      clients[key]?.deadline = nil
      clients[key]?.isLate = true
      sw_http_shut_down(client.descriptor)
    }
  }
  /// When clients that wait for a request are looked at again.
  private(set) var rouseAt = BootInstant.now()
  /// libmicrohttpd 0.9.75 takes a short read for the end of what there is, and its descriptors are edge-triggered: what
  /// came meanwhile (the end of a connection, say) is never seen. A connection that is resumed is looked at afresh.
  /// True when there was one.
  func rouse(_ now: BootInstant) -> Bool {
    guard now >= rouseAt else { return false }
    // Rarer where there are many: looking costs for each.
    rouseAt = now.adding(milliseconds: 20 + Int64(clients.count / 10))
    let suspended = Set(uploads.values.lazy.filter(\.isSuspended).map(\.client))
    let waiting = clients.filter { $0.value.deadline != nil && !suspended.contains($0.key) }.map { ($0.key, $0.value) }
    let ready = waitAny(waiting.map { (descriptor: $0.1.descriptor, wanted: Ready.read) }, until: now)
    var hasRoused = false
    for (index, (key, client)) in waiting.enumerated() {
      let hasUnread = index < ready.count && !ready[index].isEmpty
      clients[key]?.hadUnread = hasUnread && !client.hadUnread
      if hasUnread, client.hadUnread, let connection = unsafe OpaquePointer(bitPattern: key) {
        // Sound: the key is the address of a connection that was not told to be closed.
        unsafe MHD_suspend_connection(connection)
        unsafe MHD_resume_connection(connection)
        hasRoused = true
      }
    }
    return hasRoused
  }
  func resume(_ upload: Upload) {
    guard upload.isSuspended else { return }
    upload.isSuspended = false
    unsafe MHD_resume_connection(upload.connection)
  }
  func resumeAll() {
    for upload in uploads.values where upload.isSuspended {
      upload.answer = refuse(upload.request, .stopping)
      resume(upload)
    }
  }

  // MARK: one request

  /// The headers have come: what the handler keeps of the request, or the answer that ends it.
  func begin(_ connection: OpaquePointer, _ request: HTTPRequest, _ seen: SeenHeaders) -> Begun {
    let client = UInt(bitPattern: connection)
    clients[client]?.requests += 1
    if let fault = seen.fault { return .ended(refuse(request, .malformed(fault))) }
    let upload: Upload
    switch admit(request) {
    case .refuse(let answer): return .ended(answer)
    case .plain:
      if seen.hasBody { return .ended(HTTPAnswer(status: 413, text: "a body is not taken here\n")) }
      upload = unsafe Upload(next, client, connection, request, takesBody: false)
    case .body:
      guard (seen.length ?? 0) <= limits.bodyBytes else { return .ended(refuse(request, tooLarge)) }
      if let refusal = refusal(of: request.peer, seen.length ?? 0) { return .ended(refuse(request, refusal)) }
      upload = unsafe Upload(next, client, connection, request, takesBody: true)
      upload.request.body.reserveCapacity(min(seen.length ?? 0, 65_536))
      clients[client]?.deadline = .after(milliseconds: limits.bodyMilliseconds)
    }
    next += 1
    uploads[upload.number] = upload
    return .goesOn(upload)
  }
  enum Begun { case goesOn(Upload), ended(HTTPAnswer) }

  /// More of the body came; false when the connection has to be closed without more words.
  func received(_ upload: Upload, _ bytes: UnsafeRawBufferPointer) -> Bool {
    upload.received += bytes.count
    hasProgressed = true
    if upload.refusal == nil {
      if !upload.takesBody {
        upload.refusal = HTTPAnswer(status: 413, text: "a body is not taken here\n")
      } else if upload.received > limits.bodyBytes {
        upload.refusal = refuse(upload.request, tooLarge)
      } else if let refusal = refusal(of: upload.request.peer, bytes.count) {
        upload.refusal = refuse(upload.request, refusal)
      }
      if upload.refusal != nil {
        count(upload, -upload.counted)
        upload.request.body = []
      }
    }
    if upload.refusal == nil {
      unsafe upload.request.body.append(contentsOf: bytes)
      count(upload, bytes.count)
    }
    // What is refused is read on for a while, so that its sender hears why.
    return upload.received <= 2 * limits.bodyBytes + 65_536
  }

  /// The request is whole, or was resumed: its answer, nil when it has to wait for one.
  func ended(_ upload: Upload) -> (HTTPAnswer, close: Bool)? {
    if let answer = upload.answer { return (answer, false) }
    if let refusal = upload.refusal { return (refusal, true) }
    if !upload.takesBody { return (answer(upload.request), false) }
    clients[upload.client]?.deadline = nil
    upload.isSuspended = true
    ready.append(upload.number)
    return nil
  }
  /// libmicrohttpd is through with it, in whichever way.
  func forget(_ upload: Upload) {
    count(upload, -upload.counted)
    uploads[upload.number] = nil
  }
  func answered(_ client: UInt, _ status: Int) {
    counts.answers[status, default: 0] += 1
    clients[client]?.deadline = .after(milliseconds: limits.requestMilliseconds)
  }

  /// Why `more` bytes of a body can't be held.
  private func refusal(of peer: String, _ more: Int) -> HTTPRefusal? {
    if bodyBytesOf[peer, default: 0] + more > limits.addressBodiesBytes { return .overShare }
    return bodyBytes + more > limits.allBodiesBytes ? .full : nil
  }
  private func count(_ upload: Upload, _ bytes: Int) {
    upload.counted += bytes
    bodyBytes += bytes
    let held = bodyBytesOf[upload.request.peer, default: 0] + bytes
    bodyBytesOf[upload.request.peer] = held > 0 ? held : nil
  }
  private var tooLarge: HTTPRefusal { .tooLarge(limit: limits.bodyBytes) }
}

/// Headers of one request as they are read.
final class SeenHeaders {
  var headers: [String: String] = [:]
  private var lengths: [String] = []
  private var encodings: [String] = []

  func add(_ name: String, _ value: String) {
    let name = name.lowercased()
    headers[name] = value
    if name == "content-length" { lengths.append(value) }
    if name == "transfer-encoding" { encodings.append(value) }
  }
  var length: Int? { lengths.first.flatMap { Int($0) } }
  var hasBody: Bool { !encodings.isEmpty || (length ?? 0) > 0 }
  /// What leaves in doubt where the body ends (RFC 9112, section 6.3).
  var fault: String? {
    if lengths.count > 1 { return "more than one Content-Length" }
    if !lengths.isEmpty && !encodings.isEmpty { return "Content-Length and Transfer-Encoding" }
    if encodings.contains(where: { $0.lowercased() != "chunked" }) || encodings.count > 1 {
      return "a Transfer-Encoding other than chunked"
    }
    let isNumber = lengths.allSatisfy { text in
      !text.isEmpty && text.utf8.count <= 18 && text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 }
    }
    return isNumber ? nil : "a Content-Length that is no number"
  }
}
