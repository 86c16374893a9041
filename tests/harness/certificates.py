"""A certificate authority of the tests, made with openssl: roots, leaves, and leaves that are wrong in one way.

Why here: what a public CA would issue, a test cannot ask for. Never here: expectations.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path


def openssl(*arguments, cwd):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Leaf:
    chain: Path
    key: Path


class Authority:
    """A root in a folder. With the extensions that path validation asks for."""

    def __init__(self, folder, name="Gatehouse tests"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self.folder / "root.pem"
        self.key = self.folder / "root.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        openssl(
            "req", "-x509", *curve, "-days", 3650, "-subj", f"/CN={name}", *extensions, "-out", self.root, "-keyout", self.key,
            cwd=self.folder,
        )  # fmt: skip

    def leaf(self, *names, stem="leaf", days=90, kind="ec"):
        """A certificate for these names (addresses too), its chain in one file and its key in another."""
        self.count = getattr(self, "count", 0) + 1
        chain, key, request = (self.folder / f"{stem}-{self.count}.{end}" for end in ("pem", "key", "csr"))
        curve = {"ec": "prime256v1"}.get(kind, kind)
        wanted = {"rsa": ["rsa:2048"], "ed25519": ["ed25519"]}.get(kind, ["ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"])
        openssl("req", "-new", "-newkey", *wanted, "-nodes", "-subj", f"/CN={names[0]}", "-out", request, "-keyout", key, cwd=self.folder)
        address = lambda name: name.replace(".", "").isdigit() or ":" in name  # noqa: E731
        alternatives = ",".join(f"{'IP' if address(name) else 'DNS'}:{name}" for name in names)
        usage = "digitalSignature,keyEncipherment" if kind == "rsa" else "digitalSignature"
        extensions = self.folder / f"{stem}-{self.count}.ext"
        extensions.write_text(
            f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\nkeyUsage=critical,{usage}\n"
            "extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        signed = ["-CA", self.root, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-extfile", extensions]
        openssl("x509", "-req", "-in", request, *signed, "-out", chain, cwd=self.folder)
        key.chmod(0o600)
        return Leaf(chain, key)

    def below(self, name="middle", days=3650):
        """An authority that this one vouches for. Its own certificate is its `root`, which a chain has to bring along."""
        lower = Authority.__new__(Authority)
        lower.folder = self.folder / name
        lower.folder.mkdir()
        lower.root, lower.key, request = (lower.folder / file for file in ("middle.pem", "middle.key", "middle.csr"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-new", *curve, "-subj", f"/CN={name}", "-out", request, "-keyout", lower.key, cwd=lower.folder)
        extensions = lower.folder / "middle.ext"
        extensions.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n")
        signed = ["-CA", self.root, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-extfile", extensions]
        openssl("x509", "-req", "-in", request, *signed, "-out", lower.root, cwd=lower.folder)
        return lower

    def chained(self, *names, first=False, **options):
        """A leaf with this authority's certificate in its chain: below it, or wrongly before it."""
        leaf = self.leaf(*names, **options)
        both = [leaf.chain.read_text(), self.root.read_text()]
        leaf.chain.write_text("".join(reversed(both) if first else both))
        return leaf
