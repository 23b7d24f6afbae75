// The intake's side of a lane: the batch that is being filled, its decoders, and who waits for room.
internal import Platform
internal import Telemetry

/// One work fills here while another commits in the lane: two in all, which is what bounds a lane's memory.
final class LaneFront {
  let handle: LaneHandle
  var native: NativeDecoder
  var syslog: SyslogDecoder
  var encoder: DeliveryEncoder
  /// Deliveries of this lane's sources that are not wholly in a batch yet, first come first served.
  var deliveries: [UInt64] = []
  var filling = LaneWork()
  var spare: LaneWork? = LaneWork()
  /// When the first row of `filling` came.
  var begunAt: BootInstant?
  /// Connections that wait for room, first come first served.
  var held: [UInt64] = []
  /// How many waited when room came last.
  var contenders = 0
  /// Sources with bytes in `filling`, and in the work under way.
  var fillingBudgets: [SourceBudget] = []
  var underWayBudgets: [SourceBudget] = []
  var underWayRows = 0
  var underWayBytes = 0
  /// Rows without a number in either work: lost when the work is.
  var fillingUnnumbered = (rows: 0, bytes: 0)
  var underWayUnnumbered = (rows: 0, bytes: 0)
  var hasSession = false
  /// Commands to halt that it has not answered yet.
  var haltsAwaited = 0
  /// Fenced: it writes nothing more in this epoch, so nothing more is read for it.
  var isFenced = false
  /// `resumeHeld` is under way: serving a connection can lead back to it.
  var isResuming = false

  init(handle: LaneHandle, maxLine: Int) {
    self.handle = handle
    let nothing = TimeWindow(from: 0, until: 0)
    native = NativeDecoder(window: nothing, maxLine: maxLine)
    syslog = SyslogDecoder(window: nothing, namesLog2: 14)
    encoder = DeliveryEncoder(window: nothing, maxLine: maxLine)
  }

  func setQuota(names: Int64, labelSets: Int64) {
    let (names, labelSets) = (Int32(clamping: names), Int32(clamping: labelSets))
    (native.names.quota.names, native.names.quota.labelSets) = (names, labelSets)
    (syslog.names.quota.names, syslog.names.quota.labelSets) = (names, labelSets)
    (encoder.names.quota.names, encoder.names.quota.labelSets) = (names, labelSets)
  }
  func renewQuotas() {
    native.names.quota.renew()
    syslog.names.quota.renew()
    encoder.names.quota.renew()
  }
  var overQuota: Int { native.names.quota.refused + syslog.names.quota.refused + encoder.names.quota.refused }

  var isBusy: Bool { spare == nil }
  func hasRoom(_ rows: Int, _ bytes: Int) -> Bool {
    !isFenced && filling.batch.rowCount < rows && filling.batch.byteCount < bytes && !filling.batch.isFullOfNames
  }
  /// What one connection may add before the others have their turn: all that is left when nobody waits, else its part
  /// of a batch. Otherwise each of many senders of tiny records fills a whole batch, and the others wait for minutes.
  func share(_ rows: Int, _ bytes: Int) -> (rows: Int, bytes: Int) {
    let (rowsLeft, bytesLeft) = (rows - filling.batch.rowCount, bytes - filling.batch.byteCount)
    let waiting = max(contenders, held.count)
    if waiting == 0 { return (rowsLeft, bytesLeft) }
    return (min(rowsLeft, max(16, rows / (waiting + 1))), min(bytesLeft, max(4096, bytes / (waiting + 1))))
  }
  /// What was decoded before is known to PostgreSQL no more than before it came.
  func forget() {
    filling.reset()
    native.names.removeAll()
    syslog.names.removeAll()
    encoder.names.removeAll()
    // Names that are not new to their sources would count once more.
    renewQuotas()
    for budget in fillingBudgets { budget.filling = 0 }
    fillingBudgets = []
    begunAt = nil
    fillingUnnumbered = (0, 0)
  }
  /// Counts what a decoder added to `filling` for `budget`.
  func charge(_ budget: SourceBudget?, bytes: Int) {
    guard let budget, bytes > 0 else { return }
    if budget.filling == 0 { fillingBudgets.append(budget) }
    budget.filling += bytes
  }
  /// Takes `filling` away to the lane.
  func hand(over next: LaneWork, epoch: Int64) {
    let work = filling
    work.epoch = epoch
    filling = next
    underWayRows = work.batch.rowCount
    underWayBytes = work.batch.byteCount
    for budget in fillingBudgets {
      budget.underWay = budget.filling
      budget.filling = 0
    }
    underWayBudgets = fillingBudgets
    fillingBudgets = []
    underWayUnnumbered = fillingUnnumbered
    fillingUnnumbered = (0, 0)
    begunAt = nil
    handle.give(work)
  }
  /// The work under way came back.
  func take(back work: LaneWork) {
    for budget in underWayBudgets { budget.underWay = 0 }
    underWayBudgets = []
    (underWayRows, underWayBytes) = (0, 0)
    underWayUnnumbered = (0, 0)
    work.reset()
    spare = work
  }
}
