"""A certificate authority of one's own, made by the openssl command: real certificates, valid, expired, renewed."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl command is not installed")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates. `pair`: its own, which is what others verify against."""

    folder: Path
    pair: Pair

    def signs(
        self, name: str, san: str = "IP:127.0.0.1,DNS:localhost", days: int = 30, usage: str = "serverAuth"
    ) -> Pair:
        """A new certificate; negative days make one that has expired."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        certificate, extensions = self.folder / f"{name}.crt", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={san}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        _openssl("req", "-new", *_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
        ours = ("-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key), "-CAcreateserial")
        out = ("-days", str(days), "-extfile", str(extensions), "-out", str(certificate))
        _openssl("x509", "-req", "-in", str(request), *ours, *out)
        return Pair(certificate, key)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def found(folder: Path, name: str = "authority") -> Authority:
    """A new authority, with its files in this folder."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    out = ("-keyout", str(pair.key), "-out", str(pair.certificate), "-days", "30", "-subj", f"/CN={name}")
    _openssl("req", "-x509", *_NEW_KEY, *out)
    return Authority(folder, pair)


def _openssl(*arguments: str) -> None:
    assert OPENSSL is not None
    done = subprocess.run([OPENSSL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
