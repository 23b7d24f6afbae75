// Temporary.
import Platform
func watchAddress(_ options: WatchOptions) throws(SystemError) -> Int32 { 3 }
