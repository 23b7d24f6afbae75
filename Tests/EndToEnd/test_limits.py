"""Clients that are too many or too slow: refused or closed within a bound, while others, peers and operators go on."""
import re
import time
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT, Load
from lab.node import HTTP_PORT, NATIVE_PORT, SYSLOG_PORT
from lab.processes import run

FORWARD_PORT, ZABBIX_PORT, INFLUX_PORT = 24224, 10051, 8094
PORTS = {"native": NATIVE_PORT, "syslog-tcp": SYSLOG_PORT, "forward": FORWARD_PORT, "zabbix": ZABBIX_PORT,
         "influx-tcp": INFLUX_PORT, "http": HTTP_PORT}
BOUND = 30
# Shorter than what a node is installed with, and each apart from the others.
HELLO, HEADER, MESSAGE, UNREAD = 3, 6, 12, 9

# Opens connections and says how many of them stand a moment later, or once no more than `most` do.
CROWD = r"""
import select, socket, sys, time
vip, port, count, stay, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
kept = []
for _ in range(count):
    s = socket.socket()
    s.settimeout(5)
    try: s.connect((vip, port))
    except OSError: continue
    s.setblocking(False)
    kept.append(s)
def stands(s):
    try: return s.recv(1000) != b""
    except BlockingIOError: return True
    except OSError: return False
end = time.monotonic() + 60
while True:
    time.sleep(1)
    kept = [s for s in kept if stands(s)]
    if len(kept) <= most or time.monotonic() > end: break
print(len(kept), flush=True)
time.sleep(stay)
"""
# Begins something, then goes on with a byte a second: how long it was borne with.
SLOW = r"""
import socket, sys, time
vip, port, begin, drop = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
begin = begin.encode().decode("unicode_escape").encode("latin-1")
s = socket.create_connection((vip, port), 2)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
began = time.monotonic()
s.sendall(begin)
s.settimeout(1)
try:
    while time.monotonic() - began < 90:
        try:
            if s.recv(65536) == b"": break
        except TimeoutError: pass
        s.sendall(drop.encode())
except OSError: pass
print(round(time.monotonic() - began, 1), flush=True)
"""
# Sends records and never reads what it is told.
DEAF = r"""
import json, socket, sys, time
vip, port = sys.argv[1], int(sys.argv[2])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.connect((vip, port))
began = time.monotonic()
s.sendall(b'{"hello":{"source":"deaf","stream":"deaf-%d","oldest":1}}\n' % time.time_ns())
s.settimeout(2)
seq, told = 1, 0
try:
    while time.monotonic() - began < 120:
        lines = b"".join(b'{"seq":%d}\n' % n for n in range(seq, seq + 2000))
        seq += 2000
        try: s.sendall(lines)
        except TimeoutError:
            told = told or time.monotonic()
            while time.monotonic() - told < 100:
                time.sleep(0.5)
                s.send(b"x")
except OSError: pass
print(round(time.monotonic() - (told or began), 1), flush=True)
"""


class Limits(LabTest):
    @staticmethod
    def change(settings):
        settings["ingest"] = {"maxConnectionsPerAddress": BOUND, "helloMilliseconds": HELLO * 1000,
                              "messageMilliseconds": MESSAGE * 1000, "unreadMilliseconds": UNREAD * 1000}
        settings["listen"].update({"forward": [f"0.0.0.0:{FORWARD_PORT}"], "zabbix": [f"0.0.0.0:{ZABBIX_PORT}"],
                                   "influxTCP": [f"0.0.0.0:{INFLUX_PORT}"]})

    options = {"change": change.__func__}

    def ask(self, script, *words):
        return self.world.run_in(self.world.network.namespace(CLIENT), "/usr/bin/python3", "-c", script,
                                 self.world.network.service_address, *words).strip()

    def start(self, script, *words):
        name = self.world.next_name("slow")
        process = self.world.spawn_in(
            CLIENT, ["/usr/bin/python3", "-c", script, self.world.network.service_address, *map(str, words)], name)

        def result(seconds):
            process.wait(seconds)
            with open(f"{self.world.folder}/{name}", encoding="utf-8") as file:
                return float(file.read().split()[-1])
        return result

    def refused(self, *reasons):
        """What /metrics of the active node counts for these reasons."""
        text = self.world.leader().get("/metrics", timeout=30)[1]
        return sum(float(re.search(rf'refused_total{{reason="{reason}"}} (\S+)', text)[1])
                   for reason in reasons if f'refused_total{{reason="{reason}"}}' in text)

    def test_one_address_has_so_many_connections_on_every_port_and_no_more(self):
        for name, port in PORTS.items():
            reasons = ["too many connections"] if name == "http" else ["too many connections of one address"]
            before = self.refused(*reasons)
            standing = int(self.ask(CROWD, port, 2 * BOUND, 0, BOUND))
            # The test itself is another address: it is still heard.
            self.assertLessEqual(standing, BOUND, name)
            self.assertGreaterEqual(standing, BOUND - 2, name)
            wait_until(lambda: self.refused(*reasons) >= before + BOUND, 5, f"refusals of {name} are counted")
            time.sleep(0.3)

    def test_whoever_is_slow_is_closed_within_its_deadline(self):
        hello = '{"hello":{"source":"slow","stream":"slow-1","oldest":1}}\\n'
        cases = {
            "hello": (NATIVE_PORT, '{"hel', "l", HELLO), "record": (NATIVE_PORT, hello + '{"seq":1,"t', "x", MESSAGE),
            "syslog": (SYSLOG_PORT, "<13>1 - h", "x", MESSAGE),
            "forward": (FORWARD_PORT, "\\x93\\xa3tag\\xdb\\x00\\x10\\x00\\x00x", "x", MESSAGE),
            "zabbix": (ZABBIX_PORT, "ZBXD\\x01\\x00\\x10\\x00\\x00\\x00\\x00\\x00\\x00{", "x", MESSAGE),
            "influx": (INFLUX_PORT, "m,host=h v=", "1", MESSAGE),
            "header": (HTTP_PORT, "GET / HTTP/1.1\\r\\nX: ", "x", HEADER),
            "body": (HTTP_PORT, "POST /ingest HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9999\\r\\n\\r\\n", "x",
                     MESSAGE),
        }
        results = {name: self.start(SLOW, port, begin, drop) for name, (port, begin, drop, _) in cases.items()}
        deaf = self.start(DEAF, NATIVE_PORT)
        took = {name: result(180) for name, result in results.items()}
        took["deaf"] = deaf(240)
        print("\n  closed after seconds:", took)
        for name, (*_, bound) in cases.items():
            self.assertLess(took[name], bound + 3, name)
            self.assertGreater(took[name], bound - 1, name)
        self.assertLess(took["deaf"], UNREAD + 10)
        self.assertGreaterEqual(self.refused("not whole in time"), 5)


class Descriptors(LabTest):
    """Few descriptors, and a crowd that wants more."""

    @staticmethod
    def change(settings):
        settings["ingest"] = {"maxConnectionsPerAddress": 4096}

    options = {"change": change.__func__}

    def test_a_crowd_takes_no_descriptor_from_peers_operators_and_postgresql(self):
        world = self.world
        for node in world.nodes.values():
            run("prlimit", "--pid", str(node.guard_pid()), "--nofile=300:300")
        self.take_over()
        self.take_over()
        world.wait_healed()
        load = Load(world, rate=500, sources=5)
        load.wait_flowing()
        leader, epoch = world.leader(), world.epoch()
        crowds = [
            world.spawn_in(
                CLIENT, ["/usr/bin/python3", "-c", CROWD, world.network.service_address, str(port), "600", "12", "600"],
                world.next_name("crowd")) for port in (NATIVE_PORT, SYSLOG_PORT, HTTP_PORT)]
        time.sleep(4)
        ends, looks, most = time.monotonic() + 8, 0, 0.0
        while time.monotonic() < ends:
            began = time.monotonic()
            self.assertEqual(leader.get("/active", timeout=30)[0], 200)
            self.assertIn("active", leader.hactl("status"))
            most = max(most, time.monotonic() - began)
            looks += 1
        for crowd in crowds:
            crowd.kill()
        print(f"\n  {looks} looks at page and operator socket, the slowest {most * 1000:.0f} ms")
        self.assertEqual((world.epoch(), world.leader().name), (epoch, leader.name))
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"]), (0, 0))
        self.assertNotIn("Too many open files", leader.tail(400))


if __name__ == "__main__":
    unittest.main()
