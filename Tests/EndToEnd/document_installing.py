"""Steps of the documents: two servers and their database, from nothing."""
import glob
import json
import os
import re

from document_steps import step, with_warnings
from documents import DOCUMENTS, codes, read, table
from installation import SERVICE_ADDRESS, postgres_version
from support import ROOT, wait_until


@step("README.md", "apt-get")
def build_and_install(test, site, text):
    for name in ("a", "b"):
        # Here everything is installed already, and there is no way out: apt only has to know the packages.
        site.write(name, "/etc/apt/apt.conf.d/99simulate", 'APT::Get::Simulate "true";\n')
        said = site.run(name, text)[1]
        test.assertIn("install: done", said)
    test.assertEqual(site.run("a", "stat -c '%U %a' /usr/lib/standwatch/ha/vip-claim")[1].strip(), "root 755")


@step()
def everything_that_is_named_is_installed(test, site, _):
    """--destdir for the machine that only sends, and for what the documents say is where."""
    site.run("client", "scripts/install --destdir /var/tmp/tree")
    wanted = ["/usr/sbin/standwatchd", "/usr/sbin/standwatch-agent", "/usr/bin/hactl", "/usr/bin/standwatch-load",
              "/usr/lib/sysusers.d/standwatch.conf", "/usr/lib/tmpfiles.d/standwatch.conf",
              "/usr/lib/systemd/system/standwatchd.service",
              "/usr/share/bash-completion/completions/hactl", "/usr/share/zsh/vendor-completions/_hactl"]
    wanted += [f"/usr/lib/standwatch/ha/{os.path.basename(path)}" for path in glob.glob(f"{ROOT}/ha/vip-*")]
    wanted += [f"/usr/share/standwatch/sql/{os.path.basename(path)}" for path in glob.glob(f"{ROOT}/sql/*.sql")]
    unit = site.read("a", "/usr/lib/systemd/system/standwatchd.service")
    wanted += re.findall(r"file://(\S+)", unit)
    for document in DOCUMENTS:
        wanted.append(f"/usr/share/doc/standwatch/{document}")
        wanted += re.findall(r"/usr/(?:lib|share)/[\w./-]*\.(?:json5|conf|service)", read(document))
    for file, place in table("ha/README.md", "file"):
        name, target = codes(file)[0], codes(place)[0]
        names = [os.path.basename(path) for path in glob.glob(f"{ROOT}/ha/{name}")]
        test.assertTrue(names, name)
        if target.startswith("/usr"):
            wanted += [target + each if target.endswith("/") else target for each in names]
    for path in sorted(set(wanted)):
        site.run("client", f"test -s '/var/tmp/tree{path}' || {{ echo '{path} is not installed'; exit 1; }}")
    site.run("client", "cp /var/tmp/tree/usr/bin/standwatch-load /usr/bin/")
    site.run("client", "bash -n /var/tmp/tree/usr/share/bash-completion/completions/hactl")
    # A carried installation needs the libraries that are named, and no others of ours or Swift's.
    linked = site.run("client", "ldd /var/tmp/tree/usr/sbin/standwatchd /var/tmp/tree/usr/bin/hactl")[1]
    test.assertNotIn("not found", linked)
    test.assertNotIn("libswift", linked)
    for library, package in (("libpq", "libpq5"), ("libmicrohttpd", "libmicrohttpd12"), ("libgnutls", "libgnutls30"),
                             ("libcurl-gnutls", "libcurl3-gnutls"), ("libz", "zlib1g")):
        test.assertIn(f"`{package}`", read("README.md"))
        test.assertIn(f"{library}.so", linked)


@step("README.md", "createdb")
def create_the_database(test, site, text):
    # As Debian leaves a PostgreSQL that was just installed.
    version = postgres_version()
    site.run("postgres", "for folder in /etc/postgresql /var/lib/postgresql /var/log/postgresql; do "
             "mkdir -p $folder; mount -t tmpfs postgres $folder; chown postgres: $folder; done\n"
             f"pg_createcluster {version} main --start", folder="/")
    site.run("postgres", text, user="postgres", folder="/var/lib/postgresql")


@step("README.md", "systemctl restart postgresql")
def restart_postgresql(test, site, text):
    site.run("postgres", text)
    wait_until(lambda: site.run("a", "pg_isready -q -h 10.0.0.9", check=False)[0] == 0, 10, "PostgreSQL is reached")


@step("README.md", "systemd-sysusers")
def configure(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
        test.assertEqual(site.run(name, "stat -c '%U %G %a' /run/standwatch")[1].strip(), "root standwatch 1775")


@step("README.md", "openssl rand")
def share_the_key(test, site, text):
    site.run("a", text)
    for name in ("a", "b"):
        said = site.run(name, "stat -c '%U %G %a %s' /etc/standwatch/beat.key")[1].strip()
        test.assertEqual(said, "root standwatch 640 65")


@step("README.md", 'node: "b"')
def edit_the_configuration_of_b(test, site, text):
    """Each key of the block takes the place of the example's."""
    path = "/etc/standwatch/node.json5"
    example = site.read("b", path)
    peers = text[text.index("peers:"):]
    edited = re.sub(r'^  node: "a",$', '  node: "b",', example, flags=re.MULTILINE)
    edited = re.sub(r"^  peers: \{.*?^  \},$", lambda _: peers, edited, flags=re.MULTILINE | re.DOTALL)
    test.assertEqual(edited.count('"b"'), 1, edited)
    site.write("b", path, edited, 0o640)


@step("README.md", "standwatchd --check")
def check_the_configuration(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
    refused, said = site.run("b", "sed 's/lanes/lane/' /etc/standwatch/node.json5 > /tmp/wrong.$$; "
                             "standwatchd --check --config /tmp/wrong.$$; status=$?; rm /tmp/wrong.$$; exit $status",
                             check=False)
    test.assertEqual(refused, 78, said)


@step("README.md", "(umask 077; echo '10.0.0.9:5432:standwatch:standwatch_admin")
def install_the_schema(test, site, text):
    site.run("a", text)
    test.assertEqual(site.run("a", "stat -c %a ~/.pgpass")[1].strip(), "600")
    test.assertEqual(site.sql("SELECT count(*) FROM ha.migration"), str(len(glob.glob(f"{ROOT}/sql/*.sql"))))


@step("README.md", "systemctl enable")
def start(test, site, text):
    for name in ("a", "b"):
        site.run(name, text)
    site.wait_healed()
    wait_until(lambda: site.sql("SELECT from_ts IS NOT NULL FROM telemetry.accepted_range()") == "t", 20,
               "there are partitions")


@step("README.md", "hactl doctor\n")
def look(test, site, text):
    for name in ("a", "b"):
        said = site.run(name, with_warnings(text))[1]
        test.assertRegex(said, r"\b0 errors")
        test.assertIn(SERVICE_ADDRESS, said)
    active = site.wait_healed()
    for name in ("a", "b"):
        told = json.loads(site.run(name, "hactl status --json")[1])
        test.assertIn(f'"{active}"', json.dumps(told))


@step()
def the_unit_is_what_systemd_takes(test, site, _):
    """And as hardened as is said."""
    unit = "/usr/lib/systemd/system/standwatchd.service"
    site.run("a", f"systemd-analyze verify --man=no {unit}", folder="/")
    said = site.run("a", f"systemd-analyze security --offline=true {unit}", folder="/", check=False)[1]
    exposure = float(re.search(r"exposure level for standwatchd.service: ([\d.]+)", said)[1])
    promised = float(re.search(r"`systemd-analyze security` says ([\d.]+) or better", read("ha/README.md"))[1])
    test.assertLessEqual(exposure, promised)
    site.run("a", "test -s /run/standwatchd-unit/READY")
    wait_until(lambda: site.run("a", "test -s /run/standwatchd-unit/WATCHDOG", check=False)[0] == 0, 10,
               "the guard feeds the watchdog")


@step()
def the_pages_and_ports_answer(test, site, _):
    active = site.wait_healed()
    standby = "ab".replace(active, "")
    test.assertEqual([site.get(name, "/active")[0] for name in (active, standby)], [200, 503])
    for name in ("a", "b"):
        for page in ("/healthz", "/readyz"):
            test.assertEqual(site.get(name, page)[0], 200)
        test.assertRegex(site.get(name, "/metrics")[1], r"(?m)^standwatch_\w+")
    test.assertEqual(site.get(active, "/active", SERVICE_ADDRESS)[0], 200)
    for ports, *_ in table("README.md", "port"):
        for kind in re.findall("TCP|UDP", ports):
            number = int(re.search(r"\d+", ports)[0])
            machine = "postgres" if number == 5432 else active
            listening = site.run(machine, f"ss -Hln{'t' if kind == 'TCP' else 'u'} 'sport = :{number}'", wrap=False)[1]
            test.assertTrue(listening.strip(), f"nothing listens on {kind} {number}")
