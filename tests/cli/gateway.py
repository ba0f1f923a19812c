"""A reverse proxy in front of a server.

It buffers each response completely, so event streams are held back, and it can change responses. It uses TLS if it has
a certificate.
"""

from __future__ import annotations

import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.certificates import NEW_KEY

Change = Callable[[str, int, bytes], tuple[int, bytes]]
"""Maps (path, status, body) of a response to the new (status, body)."""

_CONFIG = """\
[ca]
default_ca = own
[own]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = {names}
basicConstraints = CA:TRUE
"""


def make_certificate(folder: Path, names: str = "IP:127.0.0.1", first: str = "2020", last: str = "2099") -> Path:
    """Create a self-signed certificate, with its key in the same file.

    Args:
        folder: The folder to create for it; each certificate needs its own.
        names: The names that it is valid for.
        first: The year in which its validity begins.
        last: The year in which its validity ends.
    """
    folder.mkdir()
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    (folder / "config").write_text(_CONFIG.format(folder=folder, names=names))
    request = ["req", "-new", *NEW_KEY, "-nodes", "-subj", "/CN=test", "-keyout", "key", "-out", "request"]
    dates = ["-startdate", f"{first}0101000000Z", "-enddate", f"{last}0101000000Z"]
    sign = ["ca", "-config", "config", "-selfsign", "-batch", "-keyfile", "key", "-in", "request", "-out", "signed"]
    for command in (request, [*sign, *dates, "-notext"]):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    file = folder / "certificate.pem"
    file.write_text((folder / "key").read_text() + (folder / "signed").read_text())
    return file


class Gateway:
    """Forwards requests to a server.

    Args:
        upstream: The server; None responds to everything with 404.
        change: A function that changes responses.
        certificate: A file with a certificate and its key.
    """

    def __init__(self, upstream: str | None, change: Change | None = None, certificate: Path | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: object) -> None:
                return

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, headers, content = _forward(upstream, self.command, self.path, body, dict(self.headers))
                if change is not None:
                    status, content = change(self.path, status, content)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = respond

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake runs in the thread of the connection instead of delaying the next accept.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _forward(
    upstream: str | None, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    if upstream is None:
        return 404, {"content-type": "text/html"}, b"<h1>Nothing here</h1>"
    forwarded_headers = {name: value for name, value in headers.items() if name.lower() in ("accept", "content-type")}
    request = urllib.request.Request(upstream + path, body or None, forwarded_headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        names = ("content-type", "content-disposition", "x-blob-type")
        return (
            response.status,
            {name: response.headers[name] for name in names if name in response.headers},
            response.read(),
        )
