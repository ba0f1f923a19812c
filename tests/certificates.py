"""Certificate authorities of the tests, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_CONFIG = """\
[ca]
default_ca = own
[own]
database = {folder}/index
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = names
unique_subject = no
[any]
commonName = supplied
[names]
subjectAltName = {names}
"""


class Authority:
    """A certificate authority.

    Args:
        folder: Where its files go; it is made.
        name: What it is called.
    """

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir()
        (folder / "index").touch()
        self._folder = folder
        self.file = folder / "authority.pem"
        """Its own certificate."""
        make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", f"/CN={name}"]
        self._openssl(*make, "-keyout", "authority.key", "-out", self.file.name)

    def issue(self, names: str = "DNS:localhost,IP:127.0.0.1", first: str = "2020", last: str = "2099") -> Path:
        """Issue a certificate for a server; return the file that holds it and its key.

        Args:
            names: What it is for.
            first: The year it begins in.
            last: The year it ends in.
        """
        (self._folder / "config").write_text(_CONFIG.format(folder=self._folder, names=names))
        make = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"]
        self._openssl(*make, "-keyout", "key", "-out", "request")
        dates = ["-startdate", f"{first}0101000000Z", "-enddate", f"{last}0101000000Z"]
        sign = ["ca", "-config", "config", "-batch", "-keyfile", "authority.key", "-cert", self.file.name, "-notext"]
        self._openssl(*sign, *dates, "-in", "request", "-out", "signed")
        file = self._folder / f"{first}-{last}-{len(list(self._folder.iterdir()))}.pem"
        file.write_text((self._folder / "key").read_text() + (self._folder / "signed").read_text())
        return file

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


def self_signed(folder: Path) -> Path:
    """Make a certificate for localhost that no authority has signed; return the file that holds it and its key."""
    folder.mkdir()
    make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    for command in ([*make, *names, "-keyout", "key", "-out", "signed"],):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    file = folder / "self_signed.pem"
    file.write_text((folder / "key").read_text() + (folder / "signed").read_text())
    return file


def server_context(certificate: Path, client_authority: Path | None = None) -> ssl.SSLContext:
    """Return the server's side of TLS.

    Args:
        certificate: Its certificate and key.
        client_authority: Who signs the certificates that clients must have; None for clients without one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority)
    return context
