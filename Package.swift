// swift-tools-version: 6.2
// The targets of Standwatch and who may import whom; `scripts/check-imports` holds the sources to it.
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]
let strictC: [CSetting] = [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
  name: "standwatch",
  targets: [
    .target(name: "CLinux", cSettings: strictC),
    .target(name: "CCurl", cSettings: strictC, linkerSettings: [.linkedLibrary("curl")]),
    .target(name: "CMicroHTTPD", cSettings: strictC, linkerSettings: [.linkedLibrary("microhttpd")]),
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls"),
    .systemLibrary(name: "CPostgres", pkgConfig: "libpq"),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib"),

    // Pure cores: they import nothing.
    library("Election"),
    library("Telemetry"),

    // JSON5 as a tree that is read strictly.
    library("Configuration"),

    // The machine, and one safe wrapper each around a C library.
    library("Platform", ["CLinux"]),
    library("Postgres", ["Platform", "CPostgres"]),
    library("HTTPServer", ["Platform", "CMicroHTTPD"]),
    library("HTTPClient", ["Platform", "CCurl"]),
    library("TLS", ["Platform", "CGnuTLS"]),
    library("Compression", ["CZlib"]),

    // What HTTP bodies become, without the server.
    library("HTTPRoutes", ["HTTPServer", "Platform", "Telemetry", "TLS"]),

    // The roles of a node and their wiring.
    library(
      "Node",
      [
        "Configuration", "Election", "Telemetry", "Platform", "Postgres", "HTTPServer", "HTTPRoutes", "HTTPClient",
        "TLS",
        "Compression",
      ]),

    // What runs on every monitored host.
    library("Agent", ["Configuration", "Telemetry", "Platform", "TLS"]),

    program("standwatchd", ["Node", "Platform"]),
    program("standwatch-agent", ["Agent", "Platform"]),
    program("hactl", ["Configuration", "Node", "Election", "Platform", "Postgres", "Telemetry"]),
    program("standwatch-load", ["Platform", "Postgres", "Telemetry", "TLS"]),
    // One thread owns a run and all that it refers to (see Sweep.swift): the release build counts references without
    // atomic operations, and what the compiler can't prove of exclusive access is checked in the tests' build only.
    .executableTarget(
      name: "hasim", dependencies: ["Election"],
      swiftSettings: strict + [
        .unsafeFlags(["-enforce-exclusivity=unchecked", "-assume-single-threaded"], .when(configuration: .release))
      ]),

    // The guard's own binary in its tests: the real guard with a worker that obeys its standard input.
    .executableTarget(
      name: "guard-peer", dependencies: ["Node", "Platform"], path: "Tests/GuardPeer", swiftSettings: strict),

    // The node with a planted trap in its decoders, for the tests of crash loops.
    .executableTarget(
      name: "standwatchd-planted", dependencies: ["Node", "Platform"], path: "Tests/PlantedTrap",
      swiftSettings: strict),

    // What tests share: chance that is the same in every run.
    .target(name: "Chance", path: "Tests/Chance", swiftSettings: strict),

    tests("ElectionTests", ["Election", "hasim"], exclude: ["Scenarios"]),
    tests("TelemetryTests", ["Chance", "Telemetry", "Compression", "TLS"]),
    tests("PlatformTests", ["Chance", "Platform"]),
    tests("PostgresTests", ["Postgres", "Platform"]),
    tests("HactlTests", ["hactl", "Node", "Platform", "Postgres", "Telemetry"]),
    tests("GuardTests", ["guard-peer", "Node", "Platform"]),
    tests("AgentTests", ["Agent", "Configuration", "Telemetry", "Platform", "TLS"]),
    tests("CompressionTests", ["Compression"]),
    tests(
      "NodeTests",
      [
        "Chance", "Configuration", "Node", "Election", "Telemetry", "Platform", "Postgres", "HTTPServer", "HTTPRoutes",
        "HTTPClient", "TLS",
        "Compression",
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// `scripts/fuzz` builds the decoders' fuzzer from the sources whose tests replay its corpora.
let fuzzed: [Target.Dependency] = [
  "Agent", "Chance", "Compression", "Configuration", "Election", "HTTPRoutes", "HTTPServer", "Platform", "Telemetry",
]
if Context.environment["STANDWATCH_FUZZER"] == nil {
  package.targets.append(
    .testTarget(
      name: "FuzzTests", dependencies: fuzzed, path: "Tests/Fuzz",
      exclude: ["Corpora", "Entry"], swiftSettings: strict))
} else {
  package.targets.append(
    .executableTarget(
      name: "standwatch-fuzz", dependencies: fuzzed, path: "Tests/Fuzz", exclude: ["Corpora", "Replay"],
      swiftSettings: strict))
}
