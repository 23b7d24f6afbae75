// One record as a value: what the decoders of stock senders' protocols produce, and what an agent builds.
//
// The native protocol does not pass here: its lines go from their bytes into rows without a value in between.

/// What one record says; `Batch.add(_:...)` checks its names and its time.
public struct Record: Equatable, Sendable {
  /// µs since 2000-01-01 UTC.
  public var time: Int64
  /// 1 to 200 bytes each, without control characters; others are refused when the record is added.
  public var host: String
  public var app: String
  public var body: Body

  public enum Body: Equatable, Sendable {
    case queue(Queue)
    case step(Step)
    case job(Job)
    case metric(Metric)
    case process(Process)
    case log(Log)
    case web(Web)
    case span(Span)
    case event(Event)
  }

  public init(time: Int64, host: String, app: String, _ body: Body) {
    (self.time, self.host, self.app, self.body) = (time, host, app, body)
  }

  /// Waiting jobs of an application's queue. `enqueued` and `dequeued` are running counters.
  public struct Queue: Equatable, Sendable {
    public var queue: String
    public var depth: Int64
    public var enqueued: Int64?
    public var dequeued: Int64?
    public var capacity: Int64?
    public var oldestMilliseconds: Int64?
    public init(queue: String, depth: Int64) { (self.queue, self.depth) = (queue, depth) }
  }
  /// One step of a transaction.
  public struct Step: Equatable, Sendable {
    public var transaction: String
    public var step: String
    public var status: String
    public var elapsedMicroseconds: Int64?
    public var attributes: JSONObject?
    public init(transaction: String, step: String, status: String) {
      (self.transaction, self.step, self.status) = (transaction, step, status)
    }
  }
  /// How long one piece of work took.
  public struct Job: Equatable, Sendable {
    public var job: String
    public var durationMicroseconds: Int64
    public var status: String
    public var transaction: String?
    public var cpuMicroseconds: Int64?
    public var sqlMicroseconds: Int64?
    public var trace: TraceID?
    public var span: UInt64?
    public var attributes: JSONObject?
    public init(job: String, durationMicroseconds: Int64, status: String) {
      (self.job, self.durationMicroseconds, self.status) = (job, durationMicroseconds, status)
    }
  }
  /// A measured value; it has to be finite.
  public struct Metric: Equatable, Sendable {
    public var name: String
    public var value: Double
    public var labels: JSONObject?
    public init(name: String, value: Double, labels: JSONObject? = nil) {
      (self.name, self.value, self.labels) = (name, value, labels)
    }
  }
  /// The state of one watched process.
  public struct Process: Equatable, Sendable {
    public var process: String
    /// "running", "sleeping", "stopped", "zombie", "absent", ...
    public var state: String
    public var pid: Int64?
    public var upMilliseconds: Int64?
    /// Since the agent began to watch it.
    public var restarts: Int64?
    /// Percent of one core.
    public var cpu: Double?
    /// Resident bytes.
    public var memory: Int64?
    public var threads: Int64?
    public var attributes: JSONObject?
    public init(process: String, state: String) { (self.process, self.state) = (process, state) }
  }
  public struct Log: Equatable, Sendable {
    /// RFC 5424: 0 emergency to 7 debug.
    public var severity: Int
    public var message: String
    public var trace: TraceID?
    public var span: UInt64?
    public var attributes: JSONObject?
    public init(severity: Int, message: String) { (self.severity, self.message) = (severity, message) }
  }
  /// One request that a web server answered.
  public struct Web: Equatable, Sendable {
    public var method: String
    /// Without the query.
    public var path: String
    /// HTTP status, 100 to 599.
    public var code: Int
    /// Of the answer.
    public var bytes: Int64?
    public var durationMicroseconds: Int64?
    /// Address of the client.
    public var client: String?
    /// Whatever tells one visit from another.
    public var session: String?
    public var referrer: String?
    /// User agent.
    public var agent: String?
    public var attributes: JSONObject?
    public init(method: String, path: String, code: Int) {
      (self.method, self.path, self.code) = (method, path, code)
    }
  }
  /// A span of a trace; `Record.time` is its start.
  public struct Span: Equatable, Sendable {
    /// As OTLP numbers them.
    public enum Kind: Int16, Sendable, CaseIterable {
      case unspecified, `internal`, server, client, producer, consumer
      /// As a line says it; one that is unspecified says nothing.
      public var text: String? {
        switch self {
        case .unspecified: nil
        case .internal: "internal"
        case .server: "server"
        case .client: "client"
        case .producer: "producer"
        case .consumer: "consumer"
        }
      }
    }
    public var trace: TraceID
    public var span: UInt64
    public var parent: UInt64?
    public var name: String
    public var kind = Kind.unspecified
    public var durationMicroseconds: Int64
    /// "ok", "error" or "unset".
    public var status: String
    public var attributes: JSONObject?
    public init(trace: TraceID, span: UInt64, name: String, durationMicroseconds: Int64, status: String) {
      (self.trace, self.span, self.name) = (trace, span, name)
      (self.durationMicroseconds, self.status) = (durationMicroseconds, status)
    }
  }
  /// A deployment, a restart, what a user did.
  public struct Event: Equatable, Sendable {
    public var kind: String
    public var attributes: JSONObject?
    public init(kind: String, attributes: JSONObject? = nil) { (self.kind, self.attributes) = (kind, attributes) }
  }
}

extension Record {
  /// About what it takes in memory: its own size and that of its texts.
  public var heldBytes: Int {
    let texts: [String?]
    var attributes: JSONObject?
    switch body {
    case .queue(let queue): texts = [queue.queue]
    case .step(let step): (texts, attributes) = ([step.transaction, step.step, step.status], step.attributes)
    case .job(let job): (texts, attributes) = ([job.job, job.status, job.transaction], job.attributes)
    case .metric(let metric): (texts, attributes) = ([metric.name], metric.labels)
    case .process(let process): (texts, attributes) = ([process.process, process.state], process.attributes)
    case .log(let log): (texts, attributes) = ([log.message], log.attributes)
    case .web(let web):
      texts = [web.method, web.path, web.client, web.session, web.referrer, web.agent]
      attributes = web.attributes
    case .span(let span): (texts, attributes) = ([span.name, span.status], span.attributes)
    case .event(let event): (texts, attributes) = ([event.kind], event.attributes)
    }
    let characters = texts.reduce(host.utf8.count + app.utf8.count) { $0 + ($1?.utf8.count ?? 0) }
    return MemoryLayout<Record>.size + characters + (attributes?.count ?? 0)
  }
}

/// 128 bits that all spans of a trace share (W3C Trace Context); 32 hexadecimal digits in text, a uuid in PostgreSQL.
public struct TraceID: Equatable, Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64
  public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
}
