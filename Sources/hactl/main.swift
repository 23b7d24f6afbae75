// Entry of `hactl`; everything is in the files beside.
import Platform

ignoreBrokenPipe()
endProcess(status: runTool(Array(CommandLine.arguments.dropFirst())))
