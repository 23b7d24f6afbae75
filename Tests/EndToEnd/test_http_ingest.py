"""Lines of JSON sent with curl through the service address: each stored once, through a takeover."""
import os
import unittest

from support import LabTest, wait_until

from lab.load import CLIENT
from lab.node import HTTP_PORT

# Numbered requests, each repeated with its key until it is answered with 200; every 7th is sent once more.
POSTER = r"""
url=$1; number=0; failed=0
post() {
  curl --silent --output answer --write-out '%{http_code}' --connect-timeout 0.3 --max-time 3 \
    -H "Idempotency-Key: $number" -H 'Standwatch-Source: poster' --data-binary @body "$url"
}
until [ -e enough ]; do
  number=$((number + 1))
  at=$(date -u +%FT%TZ)
  for depth in 1 2 3; do
    printf '{"type":"queue","ts":"%s","host":"poster","app":"POSTER","queue":"q","depth":%d}\n' \
      "$at" $((number * 10 + depth))
  done >body
  while [ "$(post)" != 200 ]; do failed=$((failed + 1)); sleep 0.05; done
  if [ $((number % 7)) -eq 0 ]; then
    while [ "$(post)" != 200 ]; do failed=$((failed + 1)); sleep 0.05; done
    grep -q '"duplicate":true' answer || echo "not known: $number"
  fi
done
echo "sent $number failed $failed"
"""


class HTTPIngest(LabTest):
    def url(self, host=None):
        return f"http://{host or self.world.network.service_address}:{HTTP_PORT}/ingest"

    def curl(self, *words):
        space = self.world.network.namespace(CLIENT)
        return self.world.status_in(space, "curl", "--silent", "--show-error", *words)[1]

    def page(self):
        """The metrics of the active node."""
        return self.world.leader().get("/metrics", timeout=30)[1]

    def posted(self):
        """Its rows."""
        return int(self.world.database.value("SELECT count(*) FROM telemetry.queue AS q JOIN telemetry.app AS a "
                                             "ON a.id = q.app_id WHERE a.name = 'POSTER'"))

    def test_what_curl_repeats_with_its_key_is_stored_once_through_failovers(self):
        world = self.world
        folder = os.path.join(world.folder, "poster")
        os.makedirs(folder)
        script = f"cd {folder}\n{POSTER}"
        process = world.spawn_in(CLIENT, ["sh", "-c", script, "poster", self.url()], "poster.log")

        def wait_posted(count):
            mark = self.posted() + 3 * count
            wait_until(lambda: self.posted() >= mark, 60, f"{count} more are stored")
        wait_posted(20)
        self.take_over("kill-worker")
        world.wait_healed()
        wait_posted(20)
        self.take_over("switchover")
        wait_posted(20)
        with open(os.path.join(folder, "enough"), "w", encoding="ascii"):
            pass
        process.wait(60)
        world.wait_healed()
        with open(os.path.join(world.folder, "poster.log"), encoding="utf-8") as file:
            told = file.read()
        self.assertNotIn("not known", told)
        sent = int(told.split("sent ")[1].split()[0])
        self.assertGreater(sent, 20, told)
        rows = world.database.sql(
            "SELECT count(*), count(DISTINCT q.depth) FROM telemetry.queue AS q "
            "JOIN telemetry.app AS a ON a.id = q.app_id WHERE a.name = 'POSTER'")[0]
        self.assertEqual([int(value) for value in rows], [3 * sent, 3 * sent], told)

    def test_a_standby_answers_503_and_says_when_to_come_again(self):
        world = self.world
        standby = world.standby()
        said = self.curl("--include", "--data", "{}", self.url(standby.address))
        self.assertIn(" 503 ", said)
        self.assertIn("Retry-After: 1", said)

    def test_what_is_refused_is_counted(self):
        self.assertIn("not valid JSON", self.curl("--data", "nonsense", self.url()))
        wait_until(lambda: 'standwatch_http_answers_total{code="400"} ' in self.page(), 5,
                   "the answer is counted")
        self.assertIn('standwatch_ingest_deliveries_total{outcome="stored"} ', self.page())


if __name__ == "__main__":
    unittest.main()
