// What came of one scrape as a delivery: the target's samples, and what Prometheus says of every scrape.
internal import HTTPClient
internal import Telemetry

/// One scrape that has ended.
struct ScrapeResult: Equatable, Sendable {
  var delivery: Delivery
  /// Why the target counts as down; nil when it is up.
  var problem: String?
  var samples = 0
}

/// Samples of one target; a few less than a delivery may hold.
private let maxSamples = DeliveryLimits().records - 16

/// `startedAt` (µs since 2000-01-01 UTC) is the time of all samples that have none of their own.
func scrapeResult(
  _ target: NodeConfiguration.Scrape.Target, _ fetched: Fetched, startedAt: Int64, seconds: Double
) -> ScrapeResult {
  let whose = ExpositionTarget(app: target.app, host: target.host, instance: target.instance)
  var exposition: Exposition?
  var problem: String?
  switch fetched {
  case .failed(let reason): problem = reason
  case .answered(200, let contentType, let body):
    if let format = ExpositionFormat(contentType: contentType) {
      exposition = Exposition(body, format, whose, now: startedAt, maxSamples: maxSamples)
    } else {
      problem = "the answer is no exposition but \(contentType.prefix(60))"
    }
  case .answered(let status, _, _): problem = "answered with status \(status)"
  }
  if let read = exposition {
    if read.isTooLarge {
      problem = "more than \(maxSamples) samples"
    } else if !read.isWhole {
      problem = "the answer was cut off: it has no # EOF"
    } else if read.samples == 0, let fault = read.firstFault {
      problem = "line \(fault.line): \(fault.kind.text)"
    }
  }
  let taken = problem == nil ? exposition : nil
  // Before the samples: a quota that these use up must not hide that the target is there.
  var records: [Record] = []
  var labels = JSONObject()
  labels.add("instance", target.instance)
  func add(_ name: String, _ value: Double) {
    records.append(
      Record(
        time: startedAt, host: target.host, app: target.app,
        .metric(Record.Metric(name: name, value: value, labels: labels))))
  }
  add("up", problem == nil ? 1 : 0)
  add("scrape_duration_seconds", seconds)
  add("scrape_samples_scraped", Double(taken?.samples ?? 0))
  // Ours: what of an answer could not be taken.
  add("scrape_samples_malformed", Double(taken?.refused ?? 0))
  add("scrape_samples_not_finite", Double(taken?.notFinite ?? 0))
  records += taken?.records ?? []
  // A repeated attempt to store this scrape is the same; no other scrape ever is.
  let key = Array("\(startedAt)".utf8)
  return ScrapeResult(
    delivery: Delivery(key: key, source: target.url, records: records), problem: problem, samples: taken?.samples ?? 0)
}
