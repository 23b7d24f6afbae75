// Downloads over HTTP and HTTPS by libcurl, many at a time on one thread, each bounded in time and size.
internal import CCurl
public import Platform

/// What is asked for.
public struct Fetch: Equatable, Sendable {
  /// `http` or `https`; other schemes fail.
  public var url: String
  /// For the header `Accept`.
  public var accept: String
  /// From the look-up of the name to the last byte.
  public var timeoutMilliseconds: Int64
  /// Of the body, unpacked.
  public var maxBytes: Int
  public init(url: String, accept: String, timeoutMilliseconds: Int64, maxBytes: Int) {
    (self.url, self.accept) = (url, accept)
    (self.timeoutMilliseconds, self.maxBytes) = (timeoutMilliseconds, maxBytes)
  }
}

/// What came of it.
public enum Fetched: Equatable, Sendable {
  /// A whole answer, whatever its status; redirects are not followed.
  case answered(status: Int, contentType: String, body: [UInt8])
  /// Not resolved, refused, late, cut off, too large, ...: in words.
  case failed(String)
}

/// Used by one thread. What is under way ends with it.
@safe public struct HTTPClient: ~Copyable {
  // Sound: made in init, freed exactly once, in deinit; pointers from it are copied before the next call.
  private let fetcher: OpaquePointer
  private let userAgent: String

  /// `maxBytes`: of all bodies under way together; what would exceed it fails.
  public init(userAgent: String, maxBytes: Int) throws(SystemError) {
    guard let made = unsafe sw_fetcher_new(max(1, maxBytes)) else { throw .last("curl_multi_init") }
    unsafe fetcher = made
    self.userAgent = userAgent
  }
  deinit { unsafe sw_fetcher_free(fetcher) }

  /// False when it can't begin (no memory, or no URL at all): then nothing comes of it.
  public mutating func start(_ fetch: Fetch, id: UInt64) -> Bool {
    let timeout = max(1, fetch.timeoutMilliseconds)
    let header = "X-Prometheus-Scrape-Timeout-Seconds: \(Double(timeout) / 1000)"
    // Sound: libcurl copies the texts before the call returns.
    return unsafe fetch.url.withCString { url in
      unsafe "Accept: \(fetch.accept)".withCString { accept in
        unsafe header.withCString { header in
          unsafe userAgent.withCString { agent in
            let wishes = unsafe sw_fetch_wishes(
              url: url, accept: accept, timeout_header: header, user_agent: agent, timeout_ms: timeout,
              body_limit: max(1, fetch.maxBytes), id: id)
            return unsafe sw_fetch_start(fetcher, wishes) == 1
          }
        }
      }
    }
  }

  /// Works on everything under way until something happens there, one of `others` (at most 4) is readable, or the
  /// deadline; it may return earlier.
  public mutating func wait(orReadable others: [Int32], until deadline: BootInstant) {
    let milliseconds = Int32(min((deadline.nanosecondsLeft() + 999_999) / 1_000_000, 60_000))
    // Sound: the array is alive during the call, with the count given.
    unsafe others.withUnsafeBufferPointer {
      unsafe sw_fetch_wait(fetcher, $0.baseAddress, $0.count, milliseconds)
    }
  }

  /// One that has ended since.
  public mutating func next() -> (id: UInt64, fetched: Fetched)? {
    var found = unsafe sw_fetched()
    guard unsafe sw_fetch_next(fetcher, &found) == 1 else { return nil }
    let id = unsafe found.id
    if unsafe found.failed != 0 {
      // Sound: the text is the result's, or a constant, until the next call.
      return (id, .failed(unsafe found.problem.map { unsafe String(cString: $0) } ?? "failed"))
    }
    let type = unsafe found.content_type.map { unsafe String(cString: $0) } ?? ""
    // Sound: `body` has `count` bytes until the next call; it is NULL when that is 0.
    let body = unsafe Array(UnsafeRawBufferPointer(start: found.body, count: found.count))
    return (id, .answered(status: unsafe found.status, contentType: type, body: body))
  }

  public mutating func cancelAll() { unsafe sw_fetch_cancel_all(fetcher) }
}
