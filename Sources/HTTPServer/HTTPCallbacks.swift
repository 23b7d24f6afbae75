// The functions that libmicrohttpd calls: bytes and pointers in, `Exchange` decides.
internal import CMicroHTTPD
internal import Platform

// Sound, in all of them: the context is the server's `Exchange`, alive until after MHD_stop_daemon.
func noteConnection(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ code: MHD_ConnectionNotificationCode
) {
  guard let context = unsafe context, let connection = unsafe connection else { return }
  let exchange = unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
  let key = UInt(bitPattern: connection)
  if code == .CONNECTION_NOTIFY_CLOSED {
    if let client = exchange.clients.removeValue(forKey: key), client.requests == 0, !client.isLate {
      exchange.counts.withoutRequest += 1
    }
  } else {
    let descriptor = unsafe sw_http_connection_descriptor(connection)
    let deadline = BootInstant.after(milliseconds: exchange.limits.requestMilliseconds)
    exchange.clients[key] = Exchange.Client(descriptor: descriptor, deadline: deadline)
  }
}

// Called once for each request that `answerRequest` was called for. Sound: the slot holds what that one retained.
func noteCompleted(
  _ context: UnsafeMutableRawPointer?, _: OpaquePointer?, _ slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _: MHD_RequestTerminationCode
) {
  guard let context = unsafe context, let slot = unsafe slot, let kept = unsafe slot.pointee else { return }
  unsafe slot.pointee = nil
  let upload = unsafe Unmanaged<Upload>.fromOpaque(kept).takeRetainedValue()
  unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue().forget(upload)
}

// Called first with the headers (`slot` empty); when that said yes, with each piece of the body, and without bytes when
// the request is whole and again when it was resumed.
func answerRequest(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
  _ method: UnsafePointer<CChar>?, _: UnsafePointer<CChar>?, _ data: UnsafePointer<CChar>?,
  _ size: UnsafeMutablePointer<Int>?, _ slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
  guard let context = unsafe context, let connection = unsafe connection, let url = unsafe url,
    let method = unsafe method, let size = unsafe size, let slot = unsafe slot
  else { return .NO }
  let exchange = unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
  guard let kept = unsafe slot.pointee else {
    let seen = SeenHeaders()
    let request = unsafe read(connection, String(cString: method), String(cString: url), seen)
    switch unsafe exchange.begin(connection, request, seen) {
    case .ended(let answer): return unsafe reply(connection, exchange, answer, close: true)
    case .goesOn(let upload):
      // Sound: `noteCompleted` takes it back, exactly once.
      unsafe slot.pointee = Unmanaged.passRetained(upload).toOpaque()
      return .YES
    }
  }
  let upload = unsafe Unmanaged<Upload>.fromOpaque(kept).takeUnretainedValue()
  let count = unsafe size.pointee
  if count > 0, let data = unsafe data {
    unsafe size.pointee = 0
    // Sound: libmicrohttpd lends `count` bytes for the time of the call.
    return unsafe exchange.received(upload, UnsafeRawBufferPointer(start: data, count: count)) ? .YES : .NO
  }
  if upload.isSuspended { return .YES }
  guard let (answer, close) = exchange.ended(upload) else {
    unsafe MHD_suspend_connection(connection)
    return .YES
  }
  return unsafe reply(connection, exchange, answer, close: close)
}

private func read(_ connection: OpaquePointer, _ method: String, _ path: String, _ seen: SeenHeaders) -> HTTPRequest {
  var request = HTTPRequest(method: method, path: path)
  // Sound: each object is alive for the time of the call that it is lent to.
  unsafe sw_http_each_header(connection, addPair, Unmanaged.passUnretained(seen).toOpaque())
  request.headers = seen.headers
  let query = SeenHeaders()
  unsafe sw_http_each_argument(connection, addArgument, Unmanaged.passUnretained(query).toOpaque())
  request.query = query.headers
  var text = [CChar](repeating: 0, count: 64)
  if unsafe sw_http_peer(connection, &text, text.count) == 1 {
    request.peer = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
  return request
}
private func addPair(
  _ context: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?
) {
  guard let context = unsafe context, let name = unsafe name, let value = unsafe value else { return }
  unsafe Unmanaged<SeenHeaders>.fromOpaque(context).takeUnretainedValue().add(
    String(cString: name), String(cString: value))
}
private func addArgument(
  _ context: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?
) {
  guard let context = unsafe context, let name = unsafe name, let value = unsafe value else { return }
  unsafe Unmanaged<SeenHeaders>.fromOpaque(context).takeUnretainedValue().headers[String(cString: name)] =
    String(cString: value)
}

private func reply(
  _ connection: OpaquePointer, _ exchange: Exchange, _ answer: HTTPAnswer, close: Bool
) -> MHD_Result {
  // Sound: everything is copied before the calls return, and `sw_http_reply` consumes the response.
  let response = unsafe answer.body.withUnsafeBytes { body in unsafe sw_http_response(body.baseAddress, body.count) }
  unsafe sw_http_response_header(response, "Content-Type", answer.type)
  unsafe sw_http_response_header(response, "Cache-Control", "no-store")
  unsafe sw_http_response_header(response, "X-Content-Type-Options", "nosniff")
  for header in answer.headers { unsafe sw_http_response_header(response, header.name, header.value) }
  if close { unsafe sw_http_response_header(response, "Connection", "close") }
  let status = UInt32(clamping: answer.status)
  guard unsafe sw_http_reply(connection, status, response) == 1 else { return .NO }
  exchange.answered(UInt(bitPattern: connection), answer.status)
  return .YES
}
