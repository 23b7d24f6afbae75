// Entry of `hactl`; everything is in the files beside.
import Platform

ignoreBrokenPipe()
try? forbidCoreDumps()  // where the kernel refuses, a crash of ours is as unlikely as before
exitNow(runTool(Array(processArguments().dropFirst())))
