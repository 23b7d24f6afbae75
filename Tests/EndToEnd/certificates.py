"""A private certificate authority of a test, made by openssl as the README says."""
import os
import shutil
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """Certificates in a folder; keys are readable by the group that nodes and agents of the lab have."""

    def __init__(self, folder, name="ca"):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        self.folder, self.name = folder, name
        openssl("req", "-x509", *CURVE, "-days", "3650", "-subj", f"/CN={name}", "-keyout", self.key(name), "-out",
                self.certificate(name))

    def certificate(self, name=None):
        return os.path.join(self.folder, f"{name or self.name}.crt")

    def key(self, name):
        return os.path.join(self.folder, f"{name}.key")

    def issue(self, name, alternatives):
        """A certificate for `alternatives`, say "IP:10.0.0.100"; replaced when it is there, key first."""
        new = os.path.join(self.folder, "new")
        openssl("req", "-x509", "-CA", self.certificate(), "-CAkey", self.key(self.name), *CURVE, "-days", "825",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}",
                "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", f"{new}.key", "-out", f"{new}.crt")
        shutil.chown(f"{new}.key", group="nogroup")
        os.chmod(f"{new}.key", 0o640)
        os.replace(f"{new}.key", self.key(name))
        os.replace(f"{new}.crt", self.certificate(name))
        return self


def openssl(*words):
    done = subprocess.run(["openssl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stdout}")
