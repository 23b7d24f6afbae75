"""Hostile bytes at every port while others send: the others don't notice, and nothing falls over."""
import os
import random
import unittest

from support import DATAGRAM_BREAK, MEMORY_FACTOR, SILENCE, LabTest

from lab.load import Load
from lab.node import BEAT_PORT, HTTP_PORT, NATIVE_PORT, SYSLOG_PORT

RANDOM = random.Random(20261120)


def noise(count):
    return RANDOM.randbytes(count)


HELLO = b'{"hello":{"source":"evil/one","stream":"bad-%d","oldest":1}}\n'
RECORD = b'{"seq":%d,"type":"event","ts":"2026-11-20T09:00:00.123Z","host":"h","app":"a","kind":"k"}\n'
NATIVE = [
    noise(4096), noise(1 << 20), b"\n" * 100_000, b"{" * 200_000 + b"\n", b"[" * 65_000 + b"]" * 65_000 + b"\n",
    b'{"hello":{"source":"' + b"x" * (1 << 20) + b'"}}\n', b'{"hello":{}}\n', b'{"hello":{"source":"a","stream":""}}\n',
    b'{"hello":{"source":"\\ud800","stream":"s"}}\n', b'{"hello":{"source":"a\\u0000b","stream":"s"}}\n',
    HELLO % 1 + RECORD % 2, HELLO % 2 + RECORD % -1, HELLO % 3 + b'{"seq":99999999999999999999999,"type":"event"}\n',
    HELLO % 4 + b'{"seq":1,"type":"event","ts":"never","host":"h","app":"a","kind":"k"}\n' + RECORD % 2,
    HELLO % 5 + b'{"seq":1,"type":"nothing"}\n', HELLO % 6 + noise(1 << 18), HELLO % 7 + HELLO % 7,
    HELLO % 8 + RECORD.replace(b'"event"', b'"metric"').replace(b'"kind":"k"', b'"name":"n","value":1e999') % 1,
    HELLO % 9 + RECORD % 1 + b'{"seq":2,"type":"ev', b'{"ping":1}\n' * 50_000, HELLO % 10 + b"\xff\xfe\n",
    HELLO % 11 + RECORD.replace(b'"k"', b'"' + b"k" * 70_000 + b'"') % 1, b"GET / HTTP/1.1\r\n\r\n",
    b'{"hello":{"source":"evil/one","stream":"bad-12","oldest":9223372036854775807}}\n' + RECORD % 9223372036854775807,
    b'{"hello":{"source":"evil/one","stream":"bad-13","oldest":-9223372036854775808}}\n',
]
SYSLOG = [
    noise(4096), noise(1 << 20), b"99999999999999999999 <1>1 x\n", b"-5 <13>x", b"0 ", b"5 <13", b"<999999999999>x\n",
    b"<13>" + b"x" * (1 << 20), b"<13>\0\0\0\n", b"<>1 - - - - - -\n", b"<13>1 2026-99-99T99:99:99Z h a - - - x\n",
    b"<13>1 - h a - - [x y=\"" + b"]" * 10_000 + b"\n", b"16 <13>1 - h a - - -",
]
DATAGRAMS = [b"", b"<", noise(60_000), b"<13>", b"<13>\xff\xfe\xfd", b"<13>1 - - - - - -" + b"x" * 60_000,
             b"\0" * 1000]
HTTP = [
    noise(65536), b"GET / HTTP/1.1\r\n", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\nx", b"GET /../../etc/passwd HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n", b"GET /%00%ff HTTP/1.0\r\n\r\n",
]


class BadInput(LabTest):
    def test_hostile_bytes_are_noticed_by_nobody_else(self):
        world = self.world
        leader = world.leader()
        workers = {node.name: node.worker_pid() for node in world.nodes.values()}
        load = Load(world, more=("--dead-after", SILENCE))
        load.wait_flowing()
        warm = load.read()[-1]
        settled = self.disconnects(load)
        for _ in range(2):
            for data in NATIVE:
                self.send("tcp", NATIVE_PORT, data, 0.3)
            for data in SYSLOG:
                self.send("tcp", SYSLOG_PORT, data, 0.3)
            self.send("udp", SYSLOG_PORT, DATAGRAM_BREAK.join(DATAGRAMS))
            for node in world.nodes.values():
                self.send("udp", BEAT_PORT, DATAGRAM_BREAK.join(
                    [b"", noise(1), noise(64), noise(200), noise(1400), noise(60_000)]), host=node.address)
                for data in HTTP:
                    self.send("tcp", HTTP_PORT, data, 0.3, host=node.address)
        for node in world.nodes.values():
            self.assertEqual(node.worker_pid(), workers[node.name], node.tail())
            _, most = node.resident_kilobytes()
            self.assertLess(most, 150 * 1024 * MEMORY_FACTOR, f"node {node.name}: {most} KiB at its most")
        self.assertEqual(self.disconnects(load), settled)
        self.assertTrue(leader.is_active(30))
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"], report["phantom"]), (0, 0, 0), report)
        self.assertEqual(report["takeovers"], [], report)
        self.assertGreater(report["acked"], warm[3])
        # What could be attributed to a record is kept with its reason.
        rejected = int(world.database.value("SELECT count(*) FROM ingest.rejected"))
        self.assertGreater(rejected, 0)

    @staticmethod
    def disconnects(load):
        with open(load.timeline, encoding="utf-8") as file:
            return sum('"event":"disconnected"' in line for line in file)

    def test_a_thousand_idle_connections_do_not_keep_others_out(self):
        world = self.world
        script = ("import socket, sys, time\n"
                  f"all = [socket.create_connection(('{world.network.service_address}', {NATIVE_PORT}), 5) "
                  "for _ in range(1000)]\nprint('open', flush=True)\ntime.sleep(8)\n")
        idle = world.spawn_in("client", ["/usr/bin/python3", "-c", script], "idle.log")
        load = Load(world, name="beside")
        load.wait_flowing()
        idle.wait(30)
        with open(os.path.join(world.folder, "idle.log"), encoding="utf-8") as file:
            self.assertIn("open", file.read())
        report = load.finish()
        self.assertEqual((report["lost"], report["doubled"]), (0, 0), report)
        self.assertGreater(report["acked"], 10_000)


if __name__ == "__main__":
    unittest.main()
