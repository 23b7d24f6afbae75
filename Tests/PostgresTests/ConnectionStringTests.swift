import Platform
import Postgres
import Testing

@Test func `a string with several hosts becomes one endpoint each, without a look-up for addresses`() throws {
  let string = try ConnectionString("host=10.0.0.1,10.0.0.2 port=5433,5434 dbname=d user=u password=secret")
  #expect(string.hosts.map(\.host) == ["10.0.0.1", "10.0.0.2"])
  #expect(string.resolve().map(\.description) == ["10.0.0.1:5433", "10.0.0.2:5434"])
  #expect(string["dbname"] == "d")
}

@Test func `a URI is read as well`() throws {
  let string = try ConnectionString("postgresql://u@[2001:db8::1]:5444/d")
  #expect(string.resolve().map(\.description) == ["2001:db8::1:5444"])
}

@Test func `a connection string never shows its password`() throws {
  let string = try ConnectionString("host=10.0.0.1 password=secret")
  #expect(!string.description.contains("secret"))
  #expect(!string.resolve().map(\.description).joined().contains("secret"))
}

@Test(arguments: ["host", "host=a nonsense=1", "postgresql://[", "host='"])
func `what is no connection string is refused with a reason`(_ text: String) {
  #expect(throws: PostgresError.self) { try ConnectionString(text) }
}

@Test func `a server that does not answer costs no more than the deadline`() throws {
  // A listener whose queue nobody serves: the session never stands.
  let listener = try listenStream(#require(SocketAddress(host: "127.0.0.1", port: 0)))
  let port = try #require(localAddress(listener.raw)).port
  let endpoints = try ConnectionString("host=127.0.0.1 port=\(port) user=u dbname=d").resolve()
  let started = BootInstant.now()
  #expect(throws: PostgresError.self) {
    _ = try Connection.open(endpoints, deadline: .after(milliseconds: 100)).backend
  }
  let took = BootInstant.now().milliseconds(since: started)
  #expect(took >= 90 && took < 20_000)
}

@Test func `a refused connection fails at once and names the server`() throws {
  // Below what the kernel gives to anybody: no other test can have it.
  let port = 1
  let endpoints = try ConnectionString("host=127.0.0.1 port=\(port) user=u dbname=d").resolve()
  do {
    _ = try Connection.open(endpoints, deadline: .after(milliseconds: 60_000)).backend
    Issue.record("a session without a server")
  } catch {
    #expect(error.reason == .connect)
    #expect(error.message.contains("127.0.0.1:\(port)"))
  }
}
