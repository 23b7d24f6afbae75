"""Poison over the protocols of stock senders and from a scraped target: quarantined over each, with its bytes."""
import gzip
import json
import struct
import time
import unittest

from support import CLIENT, wait_until
from test_poison import PoisonTest
from test_prometheus import client_address

from lab.node import HTTP_PORT

FORWARD_PORT, ZABBIX_PORT, INFLUX_PORT, TARGET_PORT = 24224, 10051, 8094, 9105
TRAP = "standwatch-planted-trap"
MACHINES = {"forwarder": 211, "trapper": 212, "telegraf": 213, "poster": 214, "innocent": 215}
# Sends the same bytes again and again, and says whether it got an answer.
REPEATER = r"""
import socket, sys, time
vip, port, data = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
while True:
    try:
        s = socket.create_connection((vip, port), 1)
        s.settimeout(2)
        s.sendall(data)
        back = s.recv(65536)
        print("answered" if back else "closed", flush=True)
        s.close()
    except OSError as error:
        print(error, flush=True)
    time.sleep(0.05)
"""
# A target that says what is poison, and one that does not.
TARGET = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = "standwatch_planted" if self.path == "/good" else sys.argv[2]
        body = ("# TYPE x gauge\nx{of=\"%s\"} 1\n" % name).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""


def text(data):
    """A MessagePack string."""
    data = data.encode()
    return b"\xd9" + bytes([len(data)]) + data


def forward(message, chunk):
    """A message of the Forward protocol with one record, to be acknowledged."""
    return (b"\x94" + text("tag") + b"\xce" + struct.pack(">I", int(time.time())) + b"\x81" + text("message")
            + text(message) + b"\x81" + text("chunk") + text(chunk))


def zabbix(value):
    body = json.dumps({"request": "sender data", "data": [{"host": "h", "key": "k", "value": value}]}).encode()
    return b"ZBXD\x01" + struct.pack("<II", len(body), 0) + body


def listen(settings):
    settings["listen"].update({"forward": [f"0.0.0.0:{FORWARD_PORT}"], "zabbix": [f"0.0.0.0:{ZABBIX_PORT}"],
                               "influxTCP": [f"0.0.0.0:{INFLUX_PORT}"]})
    target = f"http://{client_address(settings)}:{TARGET_PORT}"
    settings["scrape"] = {"intervalSeconds": 1, "targets": [{"url": f"{target}/good", "app": "good"},
                                                            {"url": f"{target}/bad", "app": "bad"}]}


class Wires(PoisonTest):
    options = {"daemon": "standwatchd-planted", "change": listen, "machines": MACHINES}

    def setUp(self):
        self.world.wait_healed()

    def kept(self, item):
        """The bytes that were kept of a quarantined item."""
        return bytes.fromhex(self.world.database.value(
            f"SELECT encode(bytes, 'hex') FROM ingest.quarantine WHERE id = {item}"))

    def check_wire(self, protocol, port, bad, good, machine, answer="answered"):
        """Bad bytes from one machine: it is refused, the next one is not."""
        heard = self.start(REPEATER, port, bad.hex(), machine=machine)
        (item, scope, source), = self.wait_standing(protocol)
        self.assertEqual((scope, source), ("source", self.world.network.address(machine)))
        self.assertIn(TRAP.encode(), self.kept(item))
        self.world.wait_healed()
        epoch, count = self.world.epoch(), self.crashes(protocol)
        self.assertEqual(count, 2)
        before = len(heard())
        wait_until(lambda: len(heard()) > before + 5, 10, "it is tried again")
        other = self.start(REPEATER, port, good.hex(), machine="innocent")
        wait_until(lambda: other()[-1] == answer, 10, lambda: f"others go on; {other()}")
        wait_until(lambda: self.stored(protocol), 10, "what others send is stored")
        self.assertEqual((self.crashes(protocol), self.world.epoch()), (count, epoch))

    def stored(self, protocol):
        """Records of the innocent sender over a protocol."""
        return int(self.world.database.value(
            f"SELECT (SELECT count(*) FROM telemetry.log WHERE message = 'good-{protocol}') + (SELECT count(*) FROM "
            f"telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id WHERE n.name = "
            f"'good-{protocol}')"))

    def test_a_forward_chunk_that_kills_two_workers_costs_its_client_alone(self):
        self.check_wire("forward", FORWARD_PORT, forward(TRAP, "c1"), forward("good-forward", "c2"), "forwarder")

    def test_a_zabbix_packet_that_kills_two_workers_costs_its_sender_alone(self):
        good = zabbix("1").replace(b'"k"', b'"good-zabbix"')
        good = b"ZBXD\x01" + struct.pack("<II", len(good) - 13, 0) + good[13:]
        self.check_wire("zabbix", ZABBIX_PORT, zabbix(TRAP), good, "trapper")

    def test_influx_lines_that_kill_two_workers_cost_their_sender_alone(self):
        self.check_wire("influx-tcp", INFLUX_PORT, f"m,t={TRAP} f=1\n".encode(), b"good-influx-tcp,host=h value=1\n",
                        "telegraf", answer="timed out")

    def test_a_packed_body_that_kills_two_workers_is_refused_alone(self):
        def post(line):
            body = gzip.compress(line.encode(), mtime=0)
            return (f"POST /write?db=d HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}"
                    "\r\nConnection: close\r\n\r\n").encode() + body
        bad = post(f"m,t={TRAP} f=1 1795165200000000000")
        self.start(REPEATER, HTTP_PORT, bad.hex(), machine="poster")
        (item, scope, source), = self.wait_standing("influx-v1")
        self.assertEqual((scope, source), ("bytes", self.world.network.address("poster")))
        # As they were sent: what a bug report needs.
        self.assertTrue(bad.endswith(self.kept(item)))
        self.world.wait_healed()
        self.start(REPEATER, HTTP_PORT, post(f"good-body value=1 {time.time_ns()}").hex(), machine="poster")
        wait_until(lambda: self.stored("body"), 20, "its other bodies are taken")
        self.assertEqual(self.crashes("influx-v1"), 2)

    def test_a_target_whose_answer_kills_two_workers_is_scraped_no_more_and_others_are(self):
        def scrapes(app):
            return int(self.world.database.value(
                "SELECT count(*) FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id JOIN "
                f"telemetry.app AS a ON a.id = m.app_id WHERE n.name = 'x' AND a.name = '{app}'"))
        self.world.spawn_in(CLIENT, ["/usr/bin/python3", "-c", TARGET, TARGET_PORT, TRAP], "target.log")
        (item, scope, source), = self.wait_standing("scrape")
        self.assertEqual((scope, source.rpartition("/")[2]), ("source", "bad"))
        self.assertIn(TRAP.encode(), self.kept(item))
        self.world.wait_healed()
        before = scrapes("good")
        wait_until(lambda: scrapes("good") > before + 2, 20, "the other target is scraped")
        self.assertEqual((self.crashes("scrape"), scrapes("bad")), (2, 0))


if __name__ == "__main__":
    unittest.main()
