// Where records are copied to: tables, their columns in COPY order, and the statements.

/// Tables that receive rows by binary COPY; the first nine are the record types.
public enum Table: UInt8, CaseIterable, Sendable {
  case queue, step, job, metric, log, event, process, web, span
  /// `ingest.rejected`: records refused one by one; they count as committed.
  case rejected
  /// `telemetry.name_inbox`: new names, moved to their dictionaries by `telemetry.store_names()`.
  case name
  /// `telemetry.rollup_delta`: rollups of a batch's rows (Rollups.swift); never in a batch itself.
  case rollup

  /// Schema-qualified name.
  public var name: StaticString {
    switch self {
    case .queue: "telemetry.queue"
    case .step: "telemetry.step"
    case .job: "telemetry.job"
    case .metric: "telemetry.metric"
    case .log: "telemetry.log"
    case .event: "telemetry.event"
    case .process: "telemetry.process"
    case .web: "telemetry.web"
    case .span: "telemetry.span"
    case .rejected: "ingest.rejected"
    case .name: "telemetry.name_inbox"
    case .rollup: "telemetry.rollup_delta"
    }
  }
  /// Columns in the order in which rows hold them.
  public var columns: StaticString {
    switch self {
    case .queue: "ts,app_id,host_id,queue_id,depth,enqueued,dequeued,capacity,oldest_ms,stream_id,seq"
    case .step: "ts,app_id,host_id,step_id,status_id,elapsed_us,stream_id,seq,txn,attrs"
    case .job: "ts,app_id,host_id,job_id,status_id,duration_us,cpu_us,sql_us,stream_id,seq,txn,attrs,trace_id,span_id"
    case .metric: "ts,app_id,host_id,metric_id,value,stream_id,seq,labels"
    case .log: "ts,app_id,host_id,stream_id,seq,severity,message,attrs,trace_id,span_id,pattern_id"
    case .event: "ts,app_id,host_id,kind_id,stream_id,seq,attrs"
    case .process:
      "ts,app_id,host_id,process_id,state_id,pid,up_ms,restarts,cpu,memory_bytes,threads,stream_id,seq,attrs"
    case .web:
      "ts,app_id,host_id,code,bytes,duration_us,stream_id,seq,method,path,client,session,referrer,agent,attrs"
    case .span:
      "ts,app_id,host_id,span_name_id,status_id,duration_us,kind,trace_id,span_id,parent_id,stream_id,seq,attrs"
    case .rejected: "stream,seq,source,reason,raw"
    case .name: "kind,id,name"
    case .rollup: "at,app_id,host_id,measure,key_id,n,errors,sum,min,max,buckets,counts"
    }
  }
  var columnCount: Int16 {
    switch self {
    case .queue: 11
    case .step: 10
    case .job: 14
    case .metric: 8
    case .log: 11
    case .event: 7
    case .process: 14
    case .web: 15
    case .span: 13
    case .rejected: 5
    case .name: 3
    case .rollup: 12
    }
  }
  /// The statement whose data is `copyHeader`, rows, `copyTrailer`.
  public var copyStatement: String { "COPY \(name) (\(columns)) FROM STDIN (FORMAT binary)" }
}

/// What a binary COPY begins with (PostgreSQL manual, COPY, Binary Format): signature, flags, no extension.
public let copyHeader: [UInt8] = Array("PGCOPY\n".utf8) + [0xff, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0]
/// What it ends with. Without it PostgreSQL commits silently, so the sender also compares the count of `COPY n`.
public let copyTrailer: [UInt8] = [0xff, 0xff]

/// Dictionaries of names; the raw value is `kind` of `telemetry.name_inbox`.
public enum NameKind: UInt8, CaseIterable, Sendable {
  case host, app, queue, step, job, status, metric, event, process, span
  /// Of log messages, masked (LogPattern.swift).
  case pattern
}
