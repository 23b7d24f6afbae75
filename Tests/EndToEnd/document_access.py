"""Steps of the documents: who may send, and the key of the nodes' beats."""
from document_steps import step
from documents import table

from lab.processes import wait_until

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


@step("README.md", "hactl token add")
def tokens(test, site, text):
    active = site.wait_healed()
    said = site.run(active, text)[1]
    test.assertIn("token 2 of mes-08/* is revoked", said)
    test.assertIn("orders of line 7", said)
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
