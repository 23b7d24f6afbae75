// What the thread "collect" asks its collectors and followers for, and when.
//
// A collector measures: a struct with `mutating func collect(at: SampleTime, into: inout [Record])`. What it gives is
// dropped, and counted, when the spool is full. A follower reads what is a spool itself (files, the journal): it gives
// records together with the position behind them, and is asked for no more while the spool can't take what it gave.
public import Platform
public import Telemetry

/// When a sample is taken: read once and passed down.
public struct SampleTime: Sendable {
  /// For rates and deadlines.
  public var boot: BootInstant
  /// For `Record.time`: µs since 2000-01-01 UTC.
  public var time: Int64
  public init(boot: BootInstant, time: Int64) { (self.boot, self.time) = (boot, time) }

  public static func now() -> SampleTime {
    SampleTime(boot: .now(), time: wallMicroseconds() - microsecondsFrom1970To2000)
  }
}

/// µs from 1970-01-01, where the system's clock counts from, to 2000-01-01, where records' times count from.
public let microsecondsFrom1970To2000: Int64 = 946_684_800_000_000

/// What followers read and where they stand behind it. The spool takes both in one frame, or neither.
public struct FollowBatch: Sendable {
  public static let recordLimit = 1000
  public static let byteLimit = 256 * 1024
  public var records: [Record] = []
  /// By follower, for example "file:/var/log/app.log": up to 1,000 bytes that only the follower reads, handed back to it
  /// when the agent starts again. An empty one is forgotten.
  public var positions: [String: [UInt8]] = [:]
  /// Bytes of messages so far, as the follower counts them.
  public var bytes = 0
  public init() {}

  /// A follower goes on adding until the batch is full, and comes back to the rest at the next call.
  public var isFull: Bool { records.count >= Self.recordLimit || bytes >= Self.byteLimit }
  public var isEmpty: Bool { records.isEmpty && positions.isEmpty }
}

/// All collectors; owned by the thread "collect".
struct Collectors: ~Copyable {
  private var host: HostCollector?
  private var processes: ProcessCollector?

  init(_ settings: CollectSettings, host: String, app: String) {
    self.host = nil
    if let wanted = settings.host { self.host = HostCollector(wanted, host: host, app: app) }
    processes = settings.processes.isEmpty ? nil : ProcessCollector(settings.processes, host: host, app: app)
  }

  /// Called at the configured interval, each second in live mode.
  mutating func collect(at now: SampleTime, into records: inout [Record]) {
    host?.collect(at: now, into: &records)
    processes?.collect(at: now, into: &records)
  }
}

/// All followers; owned by the thread "collect".
struct Followers: ~Copyable {
  private let files: [FileFollower]
  private let journal: JournalFollower?
  /// Larger than the longest line.
  private var buffer = ReadBuffer(capacity: 128 << 10)
  private var turn = 0

  /// Readable when one of them has something new; what has no descriptor is asked at every turn (`turnMilliseconds`).
  var descriptors: [Int32] { files.compactMap(\.descriptor) + (journal?.descriptor.map { [$0] } ?? []) }
  static let turnMilliseconds: Int64 = 250
  /// What is to be followed and is not, as the last search found it.
  var troubles: [FollowTrouble] { files.flatMap(\.troubles) + (journal?.troubles ?? []) }

  /// `positions` are those that the spool took last.
  init(_ settings: FollowSettings, host: String, positions: [String: [UInt8]]) {
    files = settings.files.map { FileFollower($0, host: host, positions: positions) }
    journal = settings.journal.map { JournalFollower($0, host: host, positions: positions) }
  }

  /// Adds what is new until `batch.isFull`.
  mutating func follow(at now: SampleTime, into batch: inout FollowBatch) {
    turn += 1
    // In turns, so that a busy source can't keep the others waiting.
    if turn % 2 == 0 { journal?.follow(at: now, into: &batch) }
    for step in files.indices {
      if batch.isFull { return }
      files[(turn + step) % files.count].follow(at: now, buffer: &buffer, into: &batch)
    }
    if turn % 2 != 0 && !batch.isFull { journal?.follow(at: now, into: &batch) }
  }
}
