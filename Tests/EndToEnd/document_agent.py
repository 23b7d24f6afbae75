"""Steps of the documents: the agent on a monitored host, and applications beside it."""
import json
import re

from document_steps import dialogue, shape, step, talk
from support import wait_until


@step("README.md", "scripts/install --agent")
def install_the_agent(test, site, text):
    """It needs the C and C++ libraries and GnuTLS alone."""
    test.assertIn("agent done", site.run("client", text)[1])
    needed = site.run("client", "objdump -p /usr/sbin/standwatch-agent | grep NEEDED")[1]
    known = {"libc", "libm", "libgcc_s", "libstdc", "libgnutls"}
    test.assertEqual(set(re.findall(r"(lib\w+)[.+-]", needed)) - known, set(), needed)


@step("README.md", "standwatch-agent --check")
def start_the_agent(test, site, text):
    # The journal of this machine is another's.
    path = "/etc/standwatch-agent/agent.json5"
    site.write("client", path, site.read("client", path).replace("journal: true", "journal: false")
               .replace("intervalMilliseconds: 10000", "intervalMilliseconds: 600000"))
    first, _, status = text.partition("standwatch-agent --status")
    site.run("client", first)
    wait_until(lambda: site.run("client", "standwatch-agent --status", check=False)[0] == 0, 20,
               lambda: site.run("client", "standwatch-agent --status; tail -n 9 /var/log/standwatch-agent.log",
                                check=False)[1])
    said = site.run("client", "standwatch-agent --status" + status)[1]
    test.assertIn("all is well", said)
    owner = site.run("client", 'stat -c %U "/proc/$(cat /run/standwatch-agent-unit/pid)"')[1].strip()
    test.assertEqual(owner, "standwatch-agent")


@step("README.md", "echo '{\"type\"")
def an_application_without_a_library(test, site, text):
    site.run("client", text)
    wait_until(lambda: site.sql("SELECT count(*) FROM telemetry.queue AS f JOIN telemetry.app AS a ON a.id = f.app_id "
                                "JOIN telemetry.host AS h ON h.id = f.host_id WHERE a.name = 'local' "
                                "AND h.name = 'client' AND f.depth = 31") == "1", 20, "the record is stored")


@step("README.md", 'C: {"hello":{"app"')
def an_application_that_wants_answers(test, site, text):
    lines = dialogue(text)
    answers = talk(site, [line for side, line in lines if side == "C"], "unix", "/run/standwatch-agent/records.sock")
    test.assertEqual([shape(each) for each in answers],
                     [shape(json.loads(line)) for side, line in lines if side == "A"])


@step()
def somebody_watches(test, site, _):
    active = site.wait_healed()
    said = site.run(active, "hactl watch client -n 6")[1]
    test.assertRegex(said, r"agent .*memory_bytes \d+ [KM]iB")
    test.assertGreaterEqual(int(site.sql(
        "SELECT count(DISTINCT f.ts) FROM telemetry.metric AS f JOIN telemetry.host AS h ON h.id = f.host_id "
        "WHERE h.name = 'client'")), 3)
    site.run("client", "systemctl stop standwatch-agent")
