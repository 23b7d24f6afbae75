"""A wrong configuration is refused with the file, the key and the mend."""
import json
import os
import shutil
import unittest

from support import LabTest

from lab.processes import run


class Configuration(LabTest):
    options = {"start": False}

    def refused(self, change=None, text=None):
        """Checks a changed configuration; what the daemon says when it refuses it."""
        node = self.world.nodes["a"]
        path = os.path.join(node.folder, "wrong.json5")
        settings = node.settings()
        if change:
            change(settings)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text if text is not None else json.dumps(settings))
        outputs = []
        for words in (("--check",), ()):
            status, said = self.world.status_in(node.namespace, "timeout", "10", self.world.program("standwatchd"),
                                                "--config", path, *words)
            self.assertEqual(status, 78, said)
            self.assertIn(path, said)
            outputs.append(said)
        return "\n".join(outputs)

    def test_the_configuration_of_the_lab_is_accepted(self):
        node = self.world.nodes["a"]
        status, said = self.world.status_in(node.namespace, self.world.program("standwatchd"), "--check", "--config",
                                            node.config)
        self.assertEqual(status, 0, said)

    def test_an_unknown_key_is_named(self):
        def change(settings):
            settings["ingest"] = {"memorybytes": 5}
        self.assertIn("ingest.memorybytes", self.refused(change))

    def test_a_short_lease_is_refused(self):
        def change(settings):
            settings["timing"] = {"leaseMilliseconds": 1000, "beatMilliseconds": 900}
        self.assertIn("timing", self.refused(change))

    def test_a_host_name_is_no_address(self):
        def change(settings):
            settings["service"]["addresses"][0]["address"] = "service.example"
        said = self.refused(change)
        self.assertIn("service.addresses[0].address", said)

    def test_broken_json5_is_refused(self):
        self.refused(text="{ cluster: ")

    def test_a_key_file_that_others_can_read_is_refused(self):
        key = os.path.join(self.world.folder, "open.key")
        shutil.copy(self.world.key, key)
        os.chmod(key, 0o644)

        def change(settings):
            settings["peers"]["keyFiles"] = [key]
        said = self.refused(change)
        self.assertIn(key, said)
        self.assertIn("chmod", said)

    def test_a_failed_migration_leaves_the_database_as_it_was(self):
        world = self.world
        folder = os.path.join(world.folder, "sql")
        shutil.copytree(os.path.join(world.root, "sql"), folder)
        last = max(int(name.split("_")[0]) for name in os.listdir(folder) if name[0].isdigit())
        with open(os.path.join(folder, f"{last + 1:04}_broken.sql"), "w", encoding="utf-8") as file:
            file.write("CREATE TABLE ha.half (x integer);\nSELECT 1 / 0;\n")
        hactl = world.program("hactl")
        status, said = world.status_in(world.network.namespace("a"), hactl, "migrate", "--connection",
                                       world.database.superuser(), "--sql", folder)
        self.assertNotEqual(status, 0)
        self.assertIn("broken", said)
        self.assertEqual(world.database.value("SELECT to_regclass('ha.half') IS NULL"), "t")
        self.assertEqual(world.database.value("SELECT max(number) FROM ha.migration"), str(last))
        run(hactl, "migrate", "--connection", world.database.superuser(), "--sql", os.path.join(world.root, "sql"))


if __name__ == "__main__":
    unittest.main()
