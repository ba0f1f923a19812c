"""Certificate authorities for the tests, created with openssl."""

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
authorityKeyIdentifier = keyid
"""

# Python 3.13 and newer require the key usage and the key identifier above (ssl.VERIFY_X509_STRICT).
_USE_OF_AUTHORITY = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
"""An elliptic-curve key, which openssl creates instantly; an RSA key needs large primes."""


class Authority:
    """A certificate authority.

    Args:
        folder: The folder for its files; must not exist yet.
        name: The subject name.
    """

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir()
        (folder / "index").touch()
        self._folder = folder
        self.file = folder / "authority.pem"
        """The authority's own certificate."""
        make = ["req", "-x509", *NEW_KEY, "-nodes", "-days", "3", "-subj", f"/CN={name}", *_USE_OF_AUTHORITY]
        self._openssl(*make, "-keyout", "authority.key", "-out", self.file.name)

    def issue(self, names: str = "DNS:localhost,IP:127.0.0.1", first: str = "2020", last: str = "2099") -> Path:
        """Issue a server certificate. Return the file that holds it and its key.

        Args:
            names: The subject alternative names.
            first: The first year in which it is valid.
            last: The year in which it expires.
        """
        (self._folder / "config").write_text(_CONFIG.format(folder=self._folder, names=names))
        make = ["req", "-new", *NEW_KEY, "-nodes", "-subj", "/CN=server"]
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
    """Create a self-signed certificate for localhost. Return the file that holds it and its key."""
    folder.mkdir()
    make = ["req", "-x509", *NEW_KEY, "-nodes", "-days", "3", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    for command in ([*make, *names, "-keyout", "key", "-out", "signed"],):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    file = folder / "self_signed.pem"
    file.write_text((folder / "key").read_text() + (folder / "signed").read_text())
    return file


def server_context(certificate: Path, client_authority: Path | None = None) -> ssl.SSLContext:
    """Return the TLS context of a server.

    Args:
        certificate: The file with its certificate and key.
        client_authority: The authority that must have signed the client's certificate; None to accept any client.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority)
    return context
