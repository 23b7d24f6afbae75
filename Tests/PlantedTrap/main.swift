// standwatchd with planted bugs: it crashes or hangs of whatever holds a marker, as it would of a bug in a decoder. For
// tests of crash loops alone; it is not installed.
import Node
import Platform

private let trap = PlantedTrap(
  trap: "standwatch-planted-trap", loop: "standwatch-planted-loop", laneTrap: "standwatch-planted-lane")
private let words = Array(processArguments().dropFirst())
private let path = words.firstIndex(of: "--config").flatMap { words.indices.contains($0 + 1) ? words[$0 + 1] : nil }

exitProcess(
  words.contains("--worker")
    ? runWorker(configurationPath: path ?? "", trap: trap) : runNode(configurationPath: path ?? ""))
