// What a run has seen so far: counts, takeovers and the timeline.
import Platform

/// From the last acknowledgement under one epoch to the first under the next.
struct Takeover {
  var fromEpoch: Int64
  var toEpoch: Int64
  var fromNode: String
  var toNode: String
  var lastOld: BootInstant
  var firstNew: BootInstant
  var gapMilliseconds: Double { firstNew.milliseconds(since: lastOld) }
}

final class Tally {
  private(set) var acked: Int64 = 0
  private(set) var rejected = 0
  private(set) var disconnects = 0
  private(set) var takeovers: [Takeover] = []
  /// Last words of connections and replies that made no sense, at most a few of each text.
  private(set) var remarks: [String: Int] = [:]
  private(set) var latency = Histogram()
  private(set) var firstAck: BootInstant?
  private(set) var lastAck: BootInstant?
  /// Longest time between two rounds of acknowledgements, whatever the reason.
  private(set) var longestSilence = 0.0
  private(set) var node = ""
  private(set) var epoch: Int64 = 0
  private var timeline: AppendFile?
  // Of this round, by epoch (two at most are ever alive).
  private var round: [(node: String, epoch: Int64, records: Int64)] = []

  init(timelinePath: String?) throws(SystemError) {
    if let timelinePath { timeline = try AppendFile(timelinePath) }
  }

  func acknowledged(_ source: Source, records: Int64, fromWelcome: Bool, at now: BootInstant) {
    source.flights.land(through: source.backlog.acked, at: now) { latency.add($0) }
    guard records > 0 else { return }
    acked += records
    // A welcome repeats what the former active stored; only an acknowledgement shows that the new one writes.
    if fromWelcome { return }
    if source.epoch > epoch {
      if let lastAck, epoch > 0 {
        takeovers.append(
          Takeover(
            fromEpoch: epoch, toEpoch: source.epoch, fromNode: node, toNode: source.node, lastOld: lastAck,
            firstNew: now))
      }
      (node, epoch) = (source.node, source.epoch)
    }
    if firstAck == nil { firstAck = now }
    // An acknowledgement of an older epoch that is read late belongs before the takeover.
    if source.epoch == epoch {
      if let lastAck { longestSilence = max(longestSilence, now.milliseconds(since: lastAck)) }
      lastAck = now
    } else if let last = takeovers.indices.last, takeovers[last].fromEpoch == source.epoch {
      takeovers[last].lastOld = now
    }
    if let index = round.firstIndex(where: { $0.epoch == source.epoch && $0.node == source.node }) {
      round[index].records += records
    } else {
      round.append((source.node, source.epoch, records))
    }
  }

  func welcomed(_ source: Source, at now: BootInstant) { note("welcome", source, 0, now) }
  func disconnected(_ source: Source, reason: String, at now: BootInstant) {
    disconnects += 1
    remark("disconnected: \(reason)")
    note("disconnected", source, 0, now, reason)
  }
  func complained(_ source: Source, text: String) { remark(text) }
  func rejected(_ source: Source) { rejected += 1 }

  /// Once a round of the loop: writes what was acknowledged in it.
  func endRound(_ now: BootInstant) {
    for each in round {
      write(
        "{\"t_ns\":\(now.nanoseconds),\"event\":\"ack\",\"node\":\(quotedJSON(each.node)),\"epoch\":\(each.epoch),"
          + "\"records\":\(each.records)}")
    }
    round.removeAll(keepingCapacity: true)
  }
  /// How far every source is, in their order, and the file brought up to date: proofs while the run goes on.
  func positions(_ sources: [Source], _ now: BootInstant) {
    guard timeline != nil else { return }
    let made = sources.map { "\($0.backlog.made)" }.joined(separator: ",")
    let acked = sources.map { "\($0.backlog.acked)" }.joined(separator: ",")
    write("{\"t_ns\":\(now.nanoseconds),\"event\":\"positions\",\"made\":[\(made)],\"acked\":[\(acked)]}")
    finish()
  }
  /// Writes out what the timeline still holds back.
  func finish() {
    do throws(SystemError) { try timeline?.flush() } catch { remark("timeline: \(error)") }
  }

  private func note(_ event: String, _ source: Source, _ records: Int64, _ now: BootInstant, _ reason: String = "") {
    guard timeline != nil else { return }
    write(
      "{\"t_ns\":\(now.nanoseconds),\"event\":\"\(event)\",\"source\":\(source.index),"
        + "\"node\":\(quotedJSON(source.node)),\"epoch\":\(source.epoch),\"records\":\(records),"
        + "\"reason\":\(quotedJSON(reason))}")
  }
  private func write(_ line: String) {
    do throws(SystemError) { try timeline?.add(line: line) } catch {
      timeline = nil
      remark("timeline: \(error)")
    }
  }
  private func remark(_ text: String) {
    if remarks[text] != nil || remarks.count < 50 { remarks[text, default: 0] += 1 }
  }
}
