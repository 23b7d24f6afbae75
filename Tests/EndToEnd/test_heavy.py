"""What costs a node much more than its sender: refused, or done in turns, and bounded in memory."""
import gzip
import statistics
import struct
import time
import unittest

from support import CLIENT, LabTest, wait_until

from lab.load import Load
from lab.node import HTTP_PORT

FORWARD_PORT, INFLUX_PORT = 24224, 8094
# Sends the same bytes again and again, each time over a connection of its own, and waits for an answer or an end.
ATTACKER = r"""
import socket, sys, time
vip, port, path, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
data, end, count = open(path, "rb").read(), time.monotonic() + seconds, 0
while time.monotonic() < end:
    try:
        s = socket.create_connection((vip, port), 2)
        s.settimeout(10)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        s.recv(65536)
        s.close()
        count += 1
    except OSError: pass
print(count, flush=True)
"""


def post(path, body, *headers):
    """A request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def text(data):
    """A MessagePack string or, of bytes, binary."""
    kind, data = (b"\xdb", data.encode()) if isinstance(data, str) else (b"\xc6", data)
    return kind + struct.pack(">I", len(data)) + data


def packed_chunk(entries, chunk):
    """A message of the Forward protocol whose entries are packed."""
    option = b"\x82" + text("chunk") + text(chunk) + text("compressed") + text("gzip")
    return b"\x93" + text("tag") + text(gzip.compress(entries)) + option


def entry(number):
    """One of a chunk's: a time and a map of one text."""
    return b"\x92\xce" + struct.pack(">I", int(time.time())) + b"\x81" + text("message") + text(f"heavy {number}")


def varint(number):
    """As protobuf writes it."""
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


class Heavy(LabTest):
    options = {"change": lambda settings: settings["listen"].update(forward=[f"0.0.0.0:{FORWARD_PORT}"],
                                                                    influxTCP=[f"0.0.0.0:{INFLUX_PORT}"])}

    def status(self, request, patience=90):
        """Of the answer to a request."""
        return self.send("tcp", HTTP_PORT, request, patience=patience).decode("latin-1").partition(" ")[2][:3]

    def refused_chunks(self):
        """Connections refused for what their bytes unpack to."""
        page = self.world.leader().get("/metrics", timeout=30)[1]
        return sum(float(line.split()[-1]) for line in page.splitlines()
                   if line.startswith("standwatch_ingest_refused_total") and "unpacks to too much" in line)

    def test_what_unpacks_to_hundreds_of_times_its_size_is_refused_and_what_telemetry_packs_to_is_taken(self):
        bomb = gzip.compress(b"m,host=h v=1 1795165200000000000\n" * (1 << 19))
        self.assertLess(len(bomb), 80 << 10)
        for path in ("/write?db=d", "/ingest", "/v1/logs"):
            kind = "Content-Type: application/json" if path == "/v1/logs" else "Content-Type: text/plain"
            self.assertEqual(self.status(post(path, bomb, "Content-Encoding: gzip", kind)), "413", path)
        before = self.refused_chunks()
        self.send("tcp", FORWARD_PORT, packed_chunk(entry(1) * 200_000, "bomb"), patience=5)
        wait_until(lambda: self.refused_chunks() > before, 5, "the chunk is refused and counted")
        now = time.time_ns()
        usual = "".join(f"press,host=press-{n % 97},line={n % 7} temperature={n * 7919 % 1000 / 10} {now + n}\n"
                        for n in range(20_000)).encode()
        self.assertGreater(len(usual), 1 << 20)
        self.assertEqual(self.status(post("/write?db=d", gzip.compress(usual), "Content-Encoding: gzip")), "204")

    def test_strings_with_newlines_in_an_endless_line_take_no_longer_than_other_bytes(self):
        def seconds(body):
            began = time.monotonic()
            self.assertEqual(self.status(post("/write?db=d", body), patience=120), "400")
            return time.monotonic() - began

        plain = statistics.median(seconds(b"m f=x\n" * 60_000) for _ in range(3))
        endless = seconds(b"m f=1" + b' a="\n"' * 60_000)
        print(f"\n  endless {endless:.2f} s, plain {plain:.2f} s")
        # Looked at anew from each of its lines it took a hundred times as long.
        self.assertLess(endless, 5 * plain + 0.5)

    def test_neighbours_of_a_sender_of_heavy_bytes_are_heard_and_answered(self):
        now = time.time_ns()
        lines = b"".join(b"m,host=h%d,a=b,c=d v=%d %d\n" % (n % 50, n, now + n) for n in range(60_000))
        entries = b"".join(entry(n) for n in range(2000))
        attacks = {
            "body": (HTTP_PORT, post("/write?db=d", gzip.compress(lines), "Content-Encoding: gzip")),
            "strings": (INFLUX_PORT, b"m f=1" + b' a="\n"' * 200_000),
            "chunks": (FORWARD_PORT, b"".join(packed_chunk(entries, f"heavy-{n}") for n in range(60))),
        }
        load = Load(self.world, rate=500, sources=10, more=("--dead-after", "20000"))
        load.wait_flowing()
        quiet = self.slowest(3)
        for name, (port, data) in attacks.items():
            path = f"{self.world.folder}/{name}"
            with open(path, "wb") as file:
                file.write(data)
            attackers = [self.world.spawn_in(
                CLIENT, ["/usr/bin/python3", "-c", ATTACKER, self.world.network.service_address, str(port), path, "4"],
                self.world.next_name("attacker")) for _ in range(3)]
            slowest = self.slowest(4)
            for attacker in attackers:
                attacker.wait(180)
            print(f"\n  {name}: page {slowest * 1000:.0f} ms at most, {quiet * 1000:.0f} ms without")
            self.assertLess(slowest, max(10.0, 100 * quiet), name)
        report = load.finish()
        print(f"  acknowledgements of others: {report['ack_ms_max']:.0f} ms at most")
        self.assertEqual((report["lost"], report["doubled"], report["disconnects"]), (0, 0, 0), report)
        self.assertLess(report["ack_ms_max"], 5000)

    def slowest(self, seconds):
        """The longest that a page took within this time, in seconds."""
        end, most, leader = time.monotonic() + seconds, 0.0, self.world.leader()
        while time.monotonic() < end:
            began = time.monotonic()
            self.assertEqual(leader.get("/active", timeout=60)[0], 200)
            most = max(most, time.monotonic() - began)
            time.sleep(0.02)
        return most

    def test_millions_of_empty_containers_leave_the_memory_bound(self):
        leader = self.world.leader()
        before = leader.resident_kilobytes()[1]
        # Resources, scopes in one of them, records in one of those: each empty, two bytes.
        scopes, records = b"\x12\x00" * (1 << 20), b"\x12\x00" * (1 << 20)
        records = b"\x12" + varint(len(records)) + records
        bodies = [b"\x0a\x00" * ((4 << 20) // 2 - 1), b"\x0a" + varint(len(scopes)) + scopes,
                  b"\x0a" + varint(len(records)) + records]
        answers = []
        for path in ("/v1/logs", "/v1/metrics", "/v1/traces"):
            answers += [self.status(post(path, body, "Content-Type: application/x-protobuf")) for body in bodies]
        answers += [self.status(post("/v1/logs", b'{"resourceLogs":[' + b",".join([b"{}"] * 1_000_000) + b"]}",
                                     "Content-Type: application/json"))]
        most = leader.resident_kilobytes()[1]
        print(f"\n  answers {answers}, {most >> 10} MiB at most, {before >> 10} before")
        self.assertEqual(set(answers) - {"200", "400", "413"}, set())
        self.assertLess(most, 256 << 10)
        self.assertTrue(leader.is_active(30))


if __name__ == "__main__":
    unittest.main()
