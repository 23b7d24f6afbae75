// Bounds and times of the intake; most of them no operator sets, and tests make them smaller.
internal import Telemetry

/// What the intake is held to. Everything that grows has its bound here.
struct IngestSettings: Sendable {
  /// A batch's transaction, and each of its steps, is given up after this long; its outcome is then unknown.
  var batchDeadlineMilliseconds: Int64 = 3000
  var connectDeadlineMilliseconds: Int64 = 1000
  /// Between attempts of a lane to connect or to write; doubled up to the second value.
  var retryMilliseconds: Int64 = 20
  var longestRetryMilliseconds: Int64 = 250
  /// A batch ends at either; one more record may go over.
  var batchRows = 20_000
  var batchBytes = 2 << 20
  /// An idle lane is given a batch of this many rows at once; a smaller one waits a little for more.
  var eagerRows = 2000
  var lingerMilliseconds: Int64 = 5
  /// A client that has not said hello by then is closed.
  var greetingMilliseconds: Int64 = 10_000
  /// A TLS handshake that takes longer is given up; while others wait for their turn, one whose client says nothing
  /// after the second value.
  var handshakeMilliseconds: Int64 = 5000
  var handshakePatienceMilliseconds: Int64 = 400
  /// Handshakes under way, of all clients; others wait. And steps of handshakes a turn, each up to a millisecond of
  /// computing, so that records and pings of others go on.
  var handshakes = 512
  var handshakesPerTurn = 16
  /// A line or message that has begun has to be whole by then, and an answer has to be read.
  var messageMilliseconds: Int64 = 30_000
  var unreadMilliseconds: Int64 = 30_000
  /// Descriptors that clients can't take: sessions of PostgreSQL, peers' beats, operators, files.
  var reservedDescriptors = 128
  /// A client that is told `bye` may close by itself for this long, then it is reset.
  var farewellMilliseconds: Int64 = 30
  /// Answers that a client does not read; beyond, it is closed.
  var outgoingBytes = 1 << 20
  /// Read from one connection before the others have their turn.
  var turnBytes = 256 << 10
  /// The same where decoding took long.
  var turnMilliseconds = 10.0
  var datagramsPerTurn = 512
  var datagramBufferBytes: Int32 = 4 << 20
  /// Hellos answered by one transaction; others wait for the next.
  var requestsPerWork = 200
  /// A client asks whether we live some times a second at most (`PingAllowance`); beyond, it is closed.
  var pingsPerSecond = 50
  /// Of each session and request of protocols that deliver.
  var deliveryLimits = DeliveryLimits()
  /// Deliveries not answered yet, of all senders.
  var deliveriesUnderWay = 4096
  var deliveryKeepHours = 24
  /// Days of partitions, unless the cluster's settings say otherwise.
  var daysBack = 7
  var daysAhead = 3
  var claimKeepMinutes = 60
  var upkeepMilliseconds: Int64 = 30_000
  /// The first look for what is too old comes this long after a takeover; then one each `retentionMilliseconds`.
  var retentionDelayMilliseconds: Int64 = 15_000
  var retentionMilliseconds: Int64 = 60_000
  /// New patterns of log messages that a lane may note each quarter of a second, beyond the thousands it begins with.
  var patternsPerTick = 5
  /// Deltas of rollups are merged this often, a minute's this long after it has ended, in bites of so many.
  var rollupMilliseconds: Int64 = 5000
  var rollupWaitMilliseconds: Int64 = 5000
  var rollupRows = 20_000
  var shedFlushMilliseconds: Int64 = 5000

  init() {}
  /// With what an operator does set.
  init(_ patience: NodeConfiguration.Patience) {
    greetingMilliseconds = patience.helloMilliseconds
    messageMilliseconds = patience.messageMilliseconds
    unreadMilliseconds = patience.unreadMilliseconds
  }
}
