// The agent of a monitored host.
internal import Agent
internal import Platform

exitNow(checkAgentConfiguration(path: CommandLine.arguments.last ?? ""))
