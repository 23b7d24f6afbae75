// The same requests in both encodings of OTLP, written by Google's library for Python (protobuf 7.36, opentelemetry-proto
// 1.45), with identifiers in hexadecimal as OTLP wants them in JSON.
@testable import Telemetry

/// Bytes of a request (in base64 here), and the same in JSON.
struct OTLPExample {
  var protobuf: String
  var json: String
  var bytes: [UInt8] { (try? OTLPJSON.base64(Array(protobuf.utf8))) ?? [] }
}

let logsExample = OTLPExample(
  protobuf: """
    CvEDCm8KFgoMc2VydmljZS5uYW1lEgYKBHNob3AKFAoJaG9zdC5uYW1lEgcKBXdlYi0xChgKD3NlcnZpY2UudmVyc2lvbhIFCgMx\
    LjIKJQoSdGVsZW1ldHJ5LnNkay5uYW1lEg8KDW9wZW50ZWxlbWV0cnkS/QIKGAoGb3JkZXJzEgEzGgsKBHRlYW0SAwoBYRKZAgkV\
    bYACPbXpGBARGgVFUlJPUiocChpvcmRlciAiNDIiIGZhaWxlZDogw6nwn5iACjIQCgFpEgsY+///////////ATIRCgNiaWcSChj/\
    /////////38yDgoBZBIJIZqZmZmZmbk/MhAKA25hbhIJIQAAAAAAAPh/MgcKAXQSAhABMgUKAW4SADIKCgFiEgU6AwD/EDIkCgRs\
    aXN0EhwqGgoCGAEKBQoDdHdvCg0qCwoJIQAAAAAAAAxAMh4KA21hcBIXMhUKEwoBaxIOMgwKCgoEZGVlcBICEAAyEgoIcmVzb3Vy\
    Y2USBgoEbWluZTgCRQEAAABKEAECAwQFBgcICQoLDA0ODxBSCAECAwQFBgcIWQCgJPs8tekYEisQCSoeMhwKEAoFZXZlbnQSBwoF\
    bG9naW4KCAoCb2sSAhABWdCnJPs8tekYEhgQFWIUZGV2aWNlLmFwcC5saWZlY3ljbGUKERIPEg0JAKAk+zy16RgqAhgq
    """,
  json: ##"""
    {"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"\##
    key":"host.name","value":{"stringValue":"web-1"}},{"key":"service.version","value":{"stringValue":"1\##
    .2"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}}]},"scopeLogs":[{"scope":{\##
    "name":"orders","version":"3","attributes":[{"key":"team","value":{"stringValue":"a"}}]},"logRecords\##
    ":[{"timeUnixNano":"1795165200123456789","severityNumber":17,"severityText":"ERROR","body":{"stringV\##
    alue":"order \"42\" failed: é😀\n"},"attributes":[{"key":"i","value":{"intValue":"-5"}},{"key":"big",\##
    "value":{"intValue":"9223372036854775807"}},{"key":"d","value":{"doubleValue":0.1}},{"key":"nan","va\##
    lue":{"doubleValue":"NaN"}},{"key":"t","value":{"boolValue":true}},{"key":"n","value":{}},{"key":"b"\##
    ,"value":{"bytesValue":"AP8Q"}},{"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"},{"st\##
    ringValue":"two"},{"arrayValue":{"values":[{"doubleValue":3.5}]}}]}}},{"key":"map","value":{"kvlistV\##
    alue":{"values":[{"key":"k","value":{"kvlistValue":{"values":[{"key":"deep","value":{"boolValue":fal\##
    se}}]}}}]}}},{"key":"resource","value":{"stringValue":"mine"}}],"droppedAttributesCount":2,"flags":1\##
    ,"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","observedTimeUnixNano":"17\##
    95165200000000000"},{"severityNumber":9,"body":{"kvlistValue":{"values":[{"key":"event","value":{"st\##
    ringValue":"login"}},{"key":"ok","value":{"boolValue":true}}]}},"observedTimeUnixNano":"179516520000\##
    0002000"},{"severityNumber":21,"eventName":"device.app.lifecycle"}]}]},{"scopeLogs":[{"logRecords":[\##
    {"timeUnixNano":"1795165200000000000","body":{"intValue":"42"}}]}]}]}
    """##)

let metricsExample = OTLPExample(
  protobuf: """
    CtYECm8KFgoMc2VydmljZS5uYW1lEgYKBHNob3AKFAoJaG9zdC5uYW1lEgcKBXdlYi0xChgKD3NlcnZpY2UudmVyc2lvbhIFCgMx\
    LjIKJQoSdGVsZW1ldHJ5LnNkay5uYW1lEg8KDW9wZW50ZWxlbWV0cnkS4gMSQwoLcXVldWUuZGVwdGgSB3dhaXRpbmcaBntqb2Jz\
    fSojCiEZAKAk+zy16Rgx4f////////86DQoFcXVldWUSBAoCaW4STQoIcmVxdWVzdHMaATE6Pgo4EQCgJPs8tekYGeijJPs8tekY\
    ITVYAGYt60F+KhsqEAECAwQFBgcICQoLDA0ODxAxBQAAAAAAAAAQAhgBEnoKB2xhdGVuY3kaAm1zSmsKZxkAoCT7PLXpGCEGAAAA\
    AAAAACkAAAAAAEBFQDIYAQAAAAAAAAACAAAAAAAAAAMAAAAAAAAAOhAAAAAAAADwPwAAAAAAACVASgwKBXJvdXRlEgMKAS9ZAAAA\
    AAAA4D9hAAAAAAAAPkAQARJLCgRzaXplUkMKPxkAoCT7PLXpGCEKAAAAAAAAACkAAAAAAAAIQDACOQIAAAAAAAAAQgcIAxIDAQAD\
    SgUIAhIBBHEAAAAAAADQPxACEksKAmdjWkUKQxkAoCT7PLXpGCEDAAAAAAAAACkAAAAAAADoPzISCQAAAAAAAOA/EZqZmZmZmck/\
    MhIJrkfhehSu7z8RmpmZmZmZ2T8SFgoFc3RhbGUqDQoLGQCgJPs8tekYQAESHgoGYnJva2VuKhQKEhkAoCT7PLXpGCEAAAAAAADw\
    fw==
    """,
  json: ##"""
    {"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}\##
    ,{"key":"host.name","value":{"stringValue":"web-1"}},{"key":"service.version","value":{"stringValue"\##
    :"1.2"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}}]},"scopeMetrics":[{"me\##
    trics":[{"name":"queue.depth","description":"waiting","unit":"{jobs}","gauge":{"dataPoints":[{"timeU\##
    nixNano":"1795165200000000000","asInt":"-31","attributes":[{"key":"queue","value":{"stringValue":"in\##
    "}}]}]}},{"name":"requests","unit":"1","sum":{"dataPoints":[{"startTimeUnixNano":"179516520000000000\##
    0","timeUnixNano":"1795165200000001000","asDouble":1.5e+300,"exemplars":[{"traceId":"010203040506070\##
    8090a0b0c0d0e0f10","asInt":"5"}]}],"aggregationTemporality":2,"isMonotonic":true}},{"name":"latency"\##
    ,"unit":"ms","histogram":{"dataPoints":[{"timeUnixNano":"1795165200000000000","count":"6","sum":42.5\##
    ,"bucketCounts":["1","2","3"],"explicitBounds":[1.0,10.5],"attributes":[{"key":"route","value":{"str\##
    ingValue":"/"}}],"min":0.5,"max":30.0}],"aggregationTemporality":1}},{"name":"size","exponentialHist\##
    ogram":{"dataPoints":[{"timeUnixNano":"1795165200000000000","count":"10","sum":3.0,"scale":1,"zeroCo\##
    unt":"2","positive":{"offset":-2,"bucketCounts":["1","0","3"]},"negative":{"offset":1,"bucketCounts"\##
    :["4"]},"zeroThreshold":0.25}],"aggregationTemporality":2}},{"name":"gc","summary":{"dataPoints":[{"\##
    timeUnixNano":"1795165200000000000","count":"3","sum":0.75,"quantileValues":[{"quantile":0.5,"value"\##
    :0.2},{"quantile":0.99,"value":0.4}]}]}},{"name":"stale","gauge":{"dataPoints":[{"timeUnixNano":"179\##
    5165200000000000","flags":1}]}},{"name":"broken","gauge":{"dataPoints":[{"timeUnixNano":"17951652000\##
    00000000","asDouble":"Infinity"}]}}]}]}]}
    """##)

let tracesExample = OTLPExample(
  protobuf: """
    CpkDCm8KFgoMc2VydmljZS5uYW1lEgYKBHNob3AKFAoJaG9zdC5uYW1lEgcKBXdlYi0xChgKD3NlcnZpY2UudmVyc2lvbhIFCgMx\
    LjIKJQoSdGVsZW1ldHJ5LnNkay5uYW1lEg8KDW9wZW50ZWxlbWV0cnkSpQIKBgoEaHR0cBLEAQoQAQIDBAUGBwgJCgsMDQ4PEBII\
    AQIDBAUGBwgaA2E9YiIICQkJCQkJCQkqC0dFVCAvb3JkZXJzMAI5AKAk+zy16RhBh3Y3+zy16RhKEgoLaHR0cC5zdGF0dXMSAxj0\
    A0oLCgRuYW1lEgMKAW5aGwmIsyT7PLXpGBIFcmV0cnkaCQoDdHJ5EgIYAWABaiwKEBAPDg0MCwoJCAcGBQQDAgESCAgHBgUEAwIB\
    Ig4KA3doeRIHCgViYXRjaHoIEgRib29tGAISOwoQAQIDBAUGBwgJCgsMDQ4PEBIIBwcHBwcHBwcqBWNoaWxkMAE5AKAk+zy16RhB\
    AKAk+zy16Rh6AhgBEhcKBXNob3J0EggBAgMEBQYHCCoEbG9zdA==
    """,
  json: ##"""
    {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{\##
    "key":"host.name","value":{"stringValue":"web-1"}},{"key":"service.version","value":{"stringValue":"\##
    1.2"}},{"key":"telemetry.sdk.name","value":{"stringValue":"opentelemetry"}}]},"scopeSpans":[{"scope"\##
    :{"name":"http"},"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708",\##
    "traceState":"a=b","parentSpanId":"0909090909090909","name":"GET /orders","kind":2,"startTimeUnixNan\##
    o":"1795165200000000000","endTimeUnixNano":"1795165200001234567","attributes":[{"key":"http.status",\##
    "value":{"intValue":"500"}},{"key":"name","value":{"stringValue":"n"}}],"events":[{"timeUnixNano":"1\##
    795165200000005000","name":"retry","attributes":[{"key":"try","value":{"intValue":"1"}}]}],"droppedE\##
    ventsCount":1,"links":[{"traceId":"100f0e0d0c0b0a090807060504030201","spanId":"0807060504030201","at\##
    tributes":[{"key":"why","value":{"stringValue":"batch"}}]}],"status":{"message":"boom","code":2}},{"\##
    traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0707070707070707","name":"child","kind":1,"sta\##
    rtTimeUnixNano":"1795165200000000000","endTimeUnixNano":"1795165200000000000","status":{"code":1}},{\##
    "traceId":"73686f7274","spanId":"0102030405060708","name":"lost"}]}]}]}
    """##)
