let drillSpec = CommandSpec(name: "drill", usage: "", summary: "")
func drill(_ arguments: Arguments, _ tool: Tool) throws -> Int32 { 0 }
let restorerWord = "x"
func restoreWhenAlone(_ words: [String]) -> Int32 { 0 }
