"""TLS on the intake: agents and stock senders with and without certificates, across takeovers and renewals."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from certificates import Authority
from support import CLIENT, MEMORY_FACTOR, LabTest, wait_until
from test_agent import Agent, Application
from test_forward import GO, Forward
from test_stock_senders import FEEDER, wait_listening

from lab.failover import median
from lab.load import Load, run_load
from lab.node import NATIVE_PORT
from lab.processes import spawn, stop

FORWARD_PORT, SYSLOG_TLS_PORT = 24224, 6514
RSYSLOG = """
global(workDirectory="{folder}" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="5514")
template(name="plain" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% - - - %msg%")
action(type="omfwd" target="{target}" port="6514" protocol="tcp" TCP_Framing="octet-counted" template="plain"
  StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="{peer}"
  queue.type="LinkedList" queue.size="100000" action.resumeRetryCount="-1" action.resumeInterval="1"
  action.resumeIntervalMax="1")
"""
# A thousand connections that begin like a handshake and never end it; they are kept for as long as standard input is.
HALF_HANDSHAKES = r"""
import os, socket, ssl, sys
host, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
outgoing = ssl.MemoryBIO()
session = context.wrap_bio(ssl.MemoryBIO(), outgoing)
try: session.do_handshake()
except ssl.SSLWantReadError: pass
hello = outgoing.read()
sockets = []
for number in range(1000):
    s = socket.create_connection((host, port), 5)
    s.sendall([hello, hello[:len(hello) // 2], b"\x16" + os.urandom(300), b"\x16"][number % 4])
    sockets.append(s)
print("held", flush=True)
sys.stdin.read()
"""

# Says hello over TLS with a certificate (or none) and a token, then what it hears; each line with the time it came.
GREETER = r"""
import json, socket, ssl, sys, time
host, ca, certificate, key, source, token = sys.argv[1:7]
context = ssl.create_default_context(cafile=ca)
if certificate: context.load_cert_chain(certificate, key)
try:
    s = context.wrap_socket(socket.create_connection((host, 7400), 2), server_hostname=host)
    s.sendall((json.dumps({"hello": {"source": source, "stream": "s", "oldest": 1, "token": token}}) + "\n").encode())
    s.settimeout(30)
    for line in s.makefile("r"):
        print(time.monotonic(), line.strip(), flush=True)
    print(time.monotonic(), "closed", flush=True)
except OSError as error:
    print(time.monotonic(), "failed", error, flush=True)
"""


class Secured(LabTest):
    """A world whose nodes have a certificate for the service address. `listens`: what `listen.tls` says beside."""

    listens = {}
    mutual = False

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="standwatch-tls-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.authority, cls.other = Authority(folder), Authority(os.path.join(folder, "other"), "other")
        cls.options = {"change": cls.change}
        super().setUpClass()

    @classmethod
    def change(cls, settings):
        address = settings["service"]["addresses"][0]["address"]
        for authority in (cls.authority, cls.other):
            authority.issue("node", f"IP:{address}").issue("client", "DNS:mes-07")
        tls = {"certificate": cls.authority.certificate("node"), "key": cls.authority.key("node"), **cls.listens}
        if cls.mutual:
            tls["clientCA"] = cls.authority.certificate()
        settings["listen"] |= {"tls": tls, "syslogTLS": [f"0.0.0.0:{SYSLOG_TLS_PORT}"],
                               "forward": [f"0.0.0.0:{FORWARD_PORT}"]}

    def load_words(self, authority=None, certificate=True):
        authority = authority or self.authority
        words = ["--tls-ca", authority.certificate()]
        if certificate:
            words += ["--tls-certificate", authority.certificate("client"), "--tls-key", authority.key("client")]
        return words

    def in_client(self, script, data=b"", seconds=10.0):
        """Runs a shell script on the client's machine, for so long at most; what it said."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), "timeout", str(seconds), "sh", "-c", script],
            input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode("utf-8", "replace")


class Mutual(Secured):
    listens = {"native": "required"}
    mutual = True

    def agent(self, authority=None, certificate=True, **more):
        """With the client's certificate of the right authority, trusting `authority`."""
        tls = {"ca": (authority or self.authority).certificate()}
        if certificate:
            tls |= {"certificate": self.authority.certificate("client"), "key": self.authority.key("client")}
        return Agent(self.world, tls=tls, host=self.world.next_name("host"), **more)

    def trouble(self, agent):
        """Why it is not connected, once it says so."""
        wait_until(lambda: "TLS" in agent.status()["last_error"], 10, agent.tail)
        status = agent.status()
        self.assertFalse(status["connected"])
        self.assertEqual(status["acked_seq"], 0)
        return status["last_error"]

    def test_an_agent_over_mutual_tls_has_everything_stored_once_through_takeovers(self):
        agent = self.agent()
        application = Application(agent, "EQP-TLS")
        application.start()
        time.sleep(1)
        for fault in ("kill-all", "stop-worker", "switchover"):
            self.take_over(fault)
            self.world.wait_healed()
        application.finish()
        agent.wait_sent()
        rows = self.world.database.sql(
            "SELECT f.duration_us, count(*) FROM telemetry.job AS f JOIN telemetry.app AS a ON a.id = f.app_id "
            "WHERE a.name = 'EQP-TLS' GROUP BY 1")
        stored = {int(number): int(count) for number, count in rows}
        self.assertGreater(len(application.acked), 500)
        self.assertEqual(application.acked - set(stored), set(), "acknowledged, not stored")
        self.assertEqual({number for number, count in stored.items() if count != 1}, set(), "stored twice")
        agent.kill()

    def test_an_agent_says_what_is_wrong_with_a_certificate_and_keeps_its_records(self):
        agent = self.agent(authority=self.other)
        self.assertEqual(self.trouble(agent), "TLS: the certificate of the service comes from none of the authorities "
                                              "that are trusted")
        agent.kill()
        agent = self.agent(certificate=False)
        self.assertRegex(self.trouble(agent), "TLS: the service refused the session: Certificate is required")
        wait_until(lambda: agent.status()["waiting"] > 0, 10, "records are kept")
        agent.kill()

    def test_an_agent_in_plain_text_is_told_that_tls_is_required(self):
        agent = Agent(self.world, host="plain")
        self.assertEqual(self.trouble(agent), "bye: TLS is required here")
        agent.kill()

    def test_a_certificate_for_another_name_is_refused_by_the_agent(self):
        agent = Agent(self.world, host="wrong-name", tls={
            "ca": self.authority.certificate(), "certificate": self.authority.certificate("client"),
            "key": self.authority.key("client"), "serverName": "standwatch.example"})
        self.assertEqual(self.trouble(agent), "TLS: the certificate of the service is for another name")
        agent.kill()

    def test_who_shows_no_certificate_or_a_strangers_is_never_acknowledged(self):
        before = self.world.database.value("SELECT count(*) FROM ingest.stream")
        for name, words in (("none", self.load_words(certificate=False)),
                            ("stranger", ["--tls-ca", self.authority.certificate(),
                                          "--tls-certificate", self.other.certificate("client"),
                                          "--tls-key", self.other.key("client")])):
            path = os.path.join(self.world.folder, f"{name}.json")
            self.in_client(" ".join([self.world.program("standwatch-load"), "--target",
                                     f"{self.world.network.service_address}:{NATIVE_PORT}", "--seconds 2 --drain 1",
                                     "--json", path, *words]), seconds=60)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file)["acked"], 0)
        self.assertEqual(self.world.database.value("SELECT count(*) FROM ingest.stream"), before)

    def test_foreign_clients_of_openssl_and_gnutls_are_welcomed_with_a_certificate_only(self):
        address = self.world.network.service_address
        hello = json.dumps({"hello": {"source": "foreign", "stream": "s-1", "oldest": 1}}).encode() + b"\n"
        files = f"{self.authority.certificate('client')} {self.authority.key('client')} {self.authority.certificate()}"
        feed = "(sleep 0.5; cat; sleep 1.5) | "
        openssl = "openssl s_client -quiet -verify_return_error -connect {a}:7400 -cert {c} -key {k} -CAfile {ca}"
        for command in (
                openssl, openssl + " -tls1_2",
                "gnutls-cli --x509certfile={c} --x509keyfile={k} --x509cafile={ca} -p 7400 {a}"):
            certificate, key, authority = files.split()
            said = self.in_client(feed + command.format(a=address, c=certificate, k=key, ca=authority), hello)
            self.assertIn('{"welcome":', said.replace(" ", ""), said)
        said = self.in_client(f"{feed} openssl s_client -quiet -connect {address}:7400", hello)
        self.assertNotIn("welcome", said)
        self.assertRegex(said, "certificate required|alert")
        said = self.in_client(f"{feed} openssl s_client -quiet -tls1_1 -cipher ALL:@SECLEVEL=0 -connect {address}:7400",
                              hello)
        self.assertNotIn("welcome", said)

    def test_rsyslog_with_its_gnutls_driver_goes_on_after_a_takeover(self):
        world = self.world
        folder = os.path.join(world.folder, "rsyslog")
        os.makedirs(folder)
        path = os.path.join(folder, "rsyslog.conf")
        with open(path, "w", encoding="utf-8") as file:
            # rsyslog compares names with the certificate's own.
            file.write(RSYSLOG.format(
                folder=folder, target=world.network.service_address, peer="node", ca=self.authority.certificate(),
                certificate=self.authority.certificate("client"), key=self.authority.key("client")))
        space = world.network.namespace(CLIENT)
        log = os.path.join(folder, "log")
        rsyslog = spawn(["rsyslogd", "-n", "-f", path, "-i", os.path.join(folder, "pid")], log, namespace=space)
        self.addCleanup(stop, rsyslog)
        wait_listening(space)
        feeder = spawn(["/usr/bin/python3", "-c", FEEDER, "12"], os.path.join(folder, "fed"), namespace=space)

        def said():
            with open(log, encoding="utf-8") as file:
                return file.read()
        wait_until(lambda: len(self.stored_messages("from-rsyslog")) > 50, 60, said)
        self.take_over()
        feeder.wait(120)
        with open(os.path.join(folder, "fed"), encoding="utf-8") as file:
            fed = int(file.read())
        world.wait_healed()
        wait_until(lambda: f"from-rsyslog {fed}" in self.stored_messages("from-rsyslog"), 15,
                   lambda: f"the last message is stored; {len(self.stored_messages('from-rsyslog'))} of {fed} are")
        # Syslog has no acknowledgement, over TLS neither: what was on its way may be gone.
        self.assertGreater(len(self.stored_messages("from-rsyslog")), fed - 200)

    def test_a_thousand_half_handshakes_leave_memory_bounded_and_others_served(self):
        world = self.world
        node = world.leader()
        load = Load(world, rate=2000, sources=10, name="steady", more=["--dead-after", "1000", *self.load_words()])
        load.wait_flowing()
        before = node.resident_kilobytes()[0]
        attacker = subprocess.Popen(
            ["ip", "netns", "exec", world.network.namespace(CLIENT), "/usr/bin/python3", "-c", HALF_HANDSHAKES,
             world.network.service_address, str(NATIVE_PORT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(attacker.communicate)
        self.assertEqual(attacker.stdout.readline(), b"held\n")
        began = time.monotonic()
        report, status = run_load(world, "--seconds", "2", "--rate", "500", "--sources", "5", *self.load_words(),
                                  name="newcomers")
        self.assertEqual(status, 0, report)
        grown = node.resident_kilobytes()[0] - before
        self.assertLess(grown, (100 << 10) * MEMORY_FACTOR, f"{grown} KiB")
        self.assertLess(time.monotonic() - began, 60)
        seen = load.finish()
        self.assertEqual((seen["unacknowledged"], world.leader()), (0, node), seen)
        print(f"\n1000 half handshakes: {grown} KiB more, every record of others stored")

    def greet(self, source, token, certificate=True):
        """A sender that stays; what it hears comes over its standard output."""
        files = [self.authority.certificate("client"), self.authority.key("client")] if certificate else ["", ""]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.world.network.namespace(CLIENT), "/usr/bin/python3", "-c", GREETER,
             self.world.network.service_address, self.authority.certificate(), *files, source, token],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_where_certificate_and_token_are_asked_for_one_of_them_lets_nobody_in(self):
        leader = self.world.leader()
        leader.hactl("config", "set", "require_tokens", "on")
        self.addCleanup(lambda: self.world.leader().hactl("config", "reset", "require_tokens"))
        made = json.loads(leader.hactl("token", "add", "mes-07/*", "--json"))
        token = made["token"]

        def told(*words, **more):
            return self.greet(*words, **more).stdout.readline().partition(" ")[2]

        wait_until(lambda: "a token is required" in told("mes-07/orders", ""), 10, "tokens are required")
        self.assertIn("welcome", told("mes-07/orders", token))
        self.assertRegex(told("mes-07/orders", token, certificate=False), "failed|closed")
        self.assertIn("the token is not valid", told("mes-07/orders", "swt_" + "x" * 40))
        self.assertIn("bound to another source", told("mes-08/orders", token))
        standing = self.greet("mes-07/stays", token)
        self.assertIn("welcome", standing.stdout.readline())
        began = time.monotonic()
        leader.hactl("token", "revoke", str(made["id"]))
        heard = standing.stdout.readline()
        self.assertIn("the token is revoked", heard)
        self.assertLess(float(heard.split()[0]) - began, 5)
        self.assertIn("the token is revoked", told("mes-07/orders", token))

    def test_a_renewed_certificate_is_shown_without_a_restart(self):
        address = self.world.network.service_address

        def serial():
            said = self.in_client(f"openssl s_client -connect {address}:7400 </dev/null | openssl x509 -noout -serial")
            return re.search("serial=(.*)", said).group(1)

        before = serial()
        self.authority.issue("node", f"IP:{address}")
        wait_until(lambda: serial() != before, 20, "the renewed certificate is shown")


class Optional(Secured):
    listens = {"native": "optional", "syslogTCP": "optional", "forward": "required"}
    told, go_client = Forward.told, Forward.go_client

    def test_both_kinds_of_senders_share_a_port(self):
        for name, words in (("plain", []), ("encrypted", self.load_words(certificate=False))):
            report, status = run_load(self.world, "--records", "20000", "--sources", "10", *words, name=name)
            self.assertEqual(status, 0, report)
            self.assertEqual(report["acked"], 20000)
        self.send("tcp", 514, b"<13>in plain text\n")
        said = self.in_client("(sleep 0.3; printf '<13>over tls\\n'; sleep 0.5) | "
                              f"openssl s_client -quiet -connect {self.world.network.service_address}:514")
        wait_until(lambda: {"in plain text", "over tls"} <= set(self.stored_messages("")), 10, said)

    def test_the_gap_of_a_takeover_over_tls_is_that_of_plain_text(self):
        gaps = {"plain": [], "tls": []}
        for round_number in range(3):
            for way, words in (("plain", []), ("tls", self.load_words(certificate=False))):
                load = Load(self.world, rate=2000, sources=20, name=f"gap-{way}-{round_number}", more=words)
                load.wait_flowing()
                self.take_over("kill-all")
                load.wait_flowing(epoch=self.world.epoch())
                self.world.wait_healed()
                report = load.finish()
                self.assertEqual(report["unacknowledged"], 0)
                times = [ack[0] for ack in load.acks]
                gaps[way].append(round(max(b - a for a, b in zip(times, times[1:])) / 1e6))
        print(f"\ngaps of takeovers (kill-all), ms: {gaps}")
        # Both are about as long as the lease; a handshake of 20 senders takes some milliseconds of it.
        self.assertLess(median(gaps["tls"]), median(gaps["plain"]) + 2000, gaps)

    def test_the_official_go_library_over_tls_has_every_message_stored_once_through_a_takeover(self):
        program, log = self.go_client(), self.world.next_name("go")
        process = self.world.spawn_in(
            CLIENT, ["env", f"SSL_CERT_FILE={self.authority.certificate()}", program,
                     self.world.network.service_address, str(FORWARD_PORT), "8", "tls"], log)
        wait_until(lambda: len(self.stored_messages("from-go")) > 50, 15, "the first messages are stored")
        self.take_over()
        sent = self.told(process, os.path.join(self.world.folder, log))
        self.world.wait_healed()
        self.assertEqual(self.stored_messages("from-go"), {f"from-go {n}": 1 for n in range(1, sent + 1)})

    def test_the_doctor_tells_of_what_is_open_and_of_a_certificate_that_ends_soon(self):
        said = self.world.nodes["a"].hactl("doctor", check=False)
        self.assertRegex(said, "native, syslogTCP, syslogUDP, http of listen take records in plain text")
        self.assertRegex(said, r"the certificate in \S+ is valid for 82. more days")


if __name__ == "__main__":
    unittest.main()
