// Entry of `hactl`; everything is in the files beside.
import Platform

ignoreBrokenPipe()
exitNow(runTool(Array(CommandLine.arguments.dropFirst())))
