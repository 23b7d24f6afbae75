import Platform
import Testing

@Test func `addresses print as they were written`() throws {
  #expect(SocketAddress(text: "10.0.0.1:7400")?.description == "10.0.0.1:7400")
  #expect(SocketAddress(text: "[2001:db8::1]:80")?.description == "[2001:db8::1]:80")
  #expect(SocketAddress(text: "2001:db8::1", defaultPort: 7)?.description == "[2001:db8::1]:7")
}

@Test(arguments: [
  "", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:70000", "host:80", "10.0.0:x", "2001:db8::1:80:", "[::1:80",
])
func `what is not a numeric address with a port is refused`(_ text: String) {
  #expect(SocketAddress(text: text) == nil)
}
