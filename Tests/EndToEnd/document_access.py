"""Steps of the documents: who may send, and the key of the nodes' beats."""
import re

from document_steps import step
from documents import read, table
from support import wait_until

HELLO = r"""
import json, socket, sys
s = socket.create_connection((sys.argv[1], 7400), 5)
s.sendall((json.dumps({"hello": {"source": sys.argv[2], "stream": "t", "oldest": 1, "token": sys.stdin.read().strip()}})
           + "\n").encode())
print(s.makefile("r").readline())
"""


def hello(site, source, token):
    site.write("client", "/root/hello.py", HELLO)
    site.write("client", "/root/token", token, 0o600)
    return site.run("client", f"/usr/bin/python3 /root/hello.py 10.0.0.100 {source} < /root/token", check=False)[1]


@step("README.md", "umask 077\nhactl token add")
def tokens(test, site, text):
    active = site.wait_healed()
    # Where such files are already they keep the mode that they have.
    site.run(active, "rm -f /root/orders.token /root/mes-08.token")
    said = site.run(active, text)[1]
    test.assertIn("token 2 of mes-08/* is revoked", said)
    test.assertIn("orders of line 7", said)
    test.assertEqual(site.run(active, "stat -c %a /root/orders.token /root/mes-08.token")[1].split(), ["600", "600"])
    token = site.read(active, "/root/orders.token")
    test.assertNotIn(token.strip(), said)
    test.assertIn("welcome", hello(site, "mes-07/orders", token))
    test.assertIn("bound to another source", hello(site, "mes-07/other", token))
    test.assertIn("revoked", hello(site, "mes-08/x", site.read(active, "/root/mes-08.token")))


@step("README.md", "hactl config set open_protocols")
def tokens_are_required(test, site, text):
    active = site.wait_healed()
    site.run(active, text)
    wait_until(lambda: "a token is required" in hello(site, "mes-07/orders", ""), 10, "tokens are required")
    test.assertIn("welcome", hello(site, "mes-07/orders", site.read(active, "/root/orders.token")))
    where = dict((row[0], row[1]) for row in table("README.md", "sender"))
    test.assertIn("tokenFile", where["`standwatch-agent`"])
    site.run(active, "hactl config reset require_tokens; hactl config reset open_protocols")
    wait_until(lambda: "welcome" in hello(site, "mes-07/orders", ""), 10, "no token is required")


@step("ha/AGENT.md", "umask 077\nhactl token add")
def an_agents_token(test, site, text):
    """The host is another one's here."""
    active = site.wait_healed()
    site.run(active, text.replace("mes-07/agent", "client/agent"))
    site.write("client", "/root/mes-07.token", site.read(active, "/root/mes-07.token"), 0o600)


@step("ha/AGENT.md", "install -m 640 -g standwatch-agent")
def its_token_is_in_place(test, site, text):
    """It is let in with it, and without it not."""
    active = site.wait_healed()
    path = "/etc/standwatch-agent/agent.json5"
    setting = re.search(r"`(tokenFile: .*?)`", read("ha/AGENT.md"))[1]
    site.write("client", path, re.sub(r"^  servers: .*\n", lambda found: f"{found[0]}  {setting},\n",
                                      site.read("client", path), flags=re.MULTILINE))
    refused, said = site.run("client", "standwatch-agent --check", check=False)
    test.assertNotEqual(refused, 0)
    test.assertIn("/etc/standwatch-agent/token cannot be read", said)
    site.run("client", text)
    test.assertEqual(site.run("client", "stat -c '%U %G %a' /etc/standwatch-agent/token")[1].strip(),
                     "root standwatch-agent 640")
    site.run("client", "standwatch-agent --check")
    site.run(active, "hactl config set require_tokens on")
    wait_until(lambda: "a token is required" in hello(site, "client/agent", ""), 10, "tokens are required")
    site.run("client", "systemctl enable --now standwatch-agent")

    def status():
        return site.run("client", "standwatch-agent --status", check=False)[1]
    wait_until(lambda: "all is well" in status(), 20, status)
    site.run("client", "systemctl stop standwatch-agent")
    site.run(active, "hactl config reset require_tokens")


@step("README.md", "hactl key rotate")
def a_new_key(test, site, text):
    before = site.read("a", "/etc/standwatch/beat.key")
    active = site.wait_healed()
    # At the same time: each waits for the other.
    site.run("a", f"({text.strip()} > /root/rotation 2>&1 &)")
    site.run("b", text)
    wait_until(lambda: "the key is rotated" in site.read("a", "/root/rotation"), 30, "both have done it")
    test.assertNotEqual(site.read("a", "/etc/standwatch/beat.key"), before)
    test.assertEqual(site.read("a", "/etc/standwatch/beat.key"), site.read("b", "/etc/standwatch/beat.key"))
    test.assertEqual(site.wait_healed(), active)
