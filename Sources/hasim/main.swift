// hasim: the deterministic simulator of the election core. Arguments, threads, report.

import Glibc

exit(Program(arguments: Array(CommandLine.arguments.dropFirst())).run())
