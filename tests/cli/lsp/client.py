"""A small client of the language server: the real command, over its standard input and output, as an editor does it."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.command import FORKED

_DEADLINE = 60.0
Json = dict[str, Any]


class ResponseError(Exception):
    """The server answers a request with an error."""


class Editor:
    """An editor with one server. Positions are counted in UTF-16, as most editors do it.

    Args:
        folder: The folder of the project.
        encodings: The encodings of positions that it offers to the server.
        options: The settings of the editor for the server.
        has_snippets: Whether it inserts snippets.
        args: Further arguments of the command.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *args: str,
        encodings: list[str] | None = None,
        options: Json | None = None,
        has_snippets: bool = False,
    ) -> None:
        self.folder = folder
        self.errors = (folder / "server.log").open("w+")
        self._process = subprocess.Popen(
            [str(FORKED), "lsp", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=folder,
            env=dict(environment),
        )
        self._received: queue.Queue[Json | None] = queue.Queue()
        self._reader = threading.Thread(target=self._receive, daemon=True)
        self._reader.start()
        self._id = 0
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.published: dict[str, list[Json]] = {}
        """The diagnostics by URI and version: the newest ones, `(version, diagnostics)`."""
        self.number_published = 0
        capabilities: Json = {"general": {"positionEncodings": encodings}} if encodings else {}
        if has_snippets:
            capabilities["textDocument"] = {"completion": {"completionItem": {"snippetSupport": True}}}
        about = {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities}
        self.initialized = self.request("initialize", about | ({"initializationOptions": options} if options else {}))
        self.notify("initialized", {})

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        uri = self.uri(name)
        self.texts[uri], self.versions[uri] = text, 1
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def edit(self, name: str, start: int, end: int, new: str) -> None:
        """Replace characters of the text, as an editor does it: it sends the change alone."""
        uri = self.uri(name)
        text = self.texts[uri]
        # No editor has a cursor between both characters of a line break.
        start, end = (each + (text[each - 1 : each + 1] == "\r\n") for each in (start, end))
        change = {"range": {"start": position(text, start), "end": position(text, end)}, "text": new}
        self.texts[uri] = text[:start] + new + text[end:]
        self._change(uri, change)

    def replace(self, name: str, text: str) -> None:
        uri = self.uri(name)
        self.texts[uri] = text
        self._change(uri, {"text": text})

    def _change(self, uri: str, change: Json) -> None:
        self.versions[uri] += 1
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def save(self, name: str) -> list[Json]:
        """Save a file, and return the diagnostics after the next check, which is that of its project."""
        number = self.number_published
        self.notify("textDocument/didSave", {"textDocument": {"uri": self.uri(name)}})
        while self.number_published == number:
            self.handle_next()
        return self.diagnostics(name)

    def at(self, method: str, name: str, where: int | str, **more: Any) -> Any:
        """Make a request about a position: an offset, or the text that begins there."""
        uri = self.uri(name)
        offset = where if isinstance(where, int) else self.texts[uri].index(where)
        place = position(self.texts[uri], offset)
        return self.request(f"textDocument/{method}", {"textDocument": {"uri": uri}, "position": place, **more})

    def about(self, method: str, name: str, **more: Any) -> Any:
        return self.request(f"textDocument/{method}", {"textDocument": {"uri": self.uri(name)}, **more})

    def labels(self, name: str, where: int | str) -> list[str]:
        return [each["label"] for each in self.at("completion", name, where)["items"]]

    def accept(self, name: str, where: int, label: str) -> None:
        """Accept a completion; a snippet is inserted with its placeholders, and indented like the line."""
        uri = self.uri(name)
        items = self.at("completion", name, where)["items"]
        labels = [each["label"] for each in items]
        assert label in labels, (labels, self.texts[uri][:where])
        item = items[labels.index(label)]
        text, new = self.texts[uri], item["textEdit"]["newText"]
        start, end = (offset(text, item["textEdit"]["range"][each]) for each in ("start", "end"))
        if item.get("insertTextFormat") == 2:
            line = text[text.rfind("\n", 0, start) + 1 : start]
            new = new.replace("\n", "\n" + " " * (len(line) - len(line.lstrip(" "))))
            new = re.sub(r"\$(?:\d|\{\d:([^}]*)\})|\\(\$)", lambda match: match[1] or match[2] or "", new)
        self.edit(name, start, end, new)

    def diagnostics(self, name: str) -> list[Json]:
        """Return the diagnostics of the newest version, once they are known."""
        uri = self.uri(name)
        while (found := self.published.get(uri)) is None or found[0]["version"] != self.versions[uri]:
            self.handle_next()
        return list(found[0]["diagnostics"])

    def rules(self, name: str) -> list[str]:
        return [each["code"] for each in self.diagnostics(name)]

    def request(self, method: str, params: Json | None) -> Any:
        self._id += 1
        number = self._id
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise ResponseError(message["error"]["message"])
                return message["result"]
            self._handle(message)

    def notify(self, method: str, params: Json | None) -> None:
        self._send({"method": method, "params": params})

    def handle_next(self) -> None:
        """Wait for the next message of the server, and take note of it."""
        self._handle(self._next())

    def _handle(self, message: Json) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.published[params["uri"]] = [params]
            self.number_published += 1
        elif message.get("method") == "window/showMessage":
            raise AssertionError(message["params"]["message"])

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _next(self) -> Json:
        message = self._received.get(timeout=_DEADLINE)
        assert message is not None, f"the server has ended: {self.log()}"
        return message

    def _receive(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
                line = stream.readline()
            self._received.put(json.loads(stream.read(length)))
        self._received.put(None)

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def wait(self) -> None:
        """End the session, and wait for the server's end."""
        self.request("shutdown", None)
        self.notify("exit", None)
        assert self._process.wait(_DEADLINE) == 0, self.log()

    def close(self) -> None:
        self.wait()
        assert self.log() == ""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(_DEADLINE)
        for stream in (self._process.stdin, self._process.stdout, self.errors):
            assert stream is not None
            stream.close()


def position(text: str, offset: int) -> Json:
    """Return the position of an offset in UTF-16; a line ends with CR, LF or both."""
    before = re.split("\r\n|\r|\n", text[:offset])
    return {"line": len(before) - 1, "character": len(before[-1].encode("utf-16-le")) // 2}


def offset(text: str, place: Json) -> int:
    """Return the offset of a position in UTF-16."""
    starts = [0, *(each.end() for each in re.finditer("\r\n|\r|\n", text)), len(text), len(text)]
    line = text[starts[place["line"]] : starts[place["line"] + 1]]
    return starts[place["line"]] + len(line.encode("utf-16-le")[: place["character"] * 2].decode("utf-16-le"))


def applied(text: str, edits: list[Json]) -> str:
    """Return a text after text edits, as an editor applies them."""
    for edit in sorted(edits, key=lambda each: offset(text, each["range"]["start"]), reverse=True):
        start, end = (offset(text, edit["range"][each]) for each in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def marked(text: str, ranges: list[Json]) -> list[str]:
    """Return the texts of ranges."""
    return [text[offset(text, each["start"]) : offset(text, each["end"])] for each in ranges]


@contextmanager
def started(
    folder: Path,
    environment: Mapping[str, str],
    *args: str,
    encodings: list[str] | None = None,
    options: Json | None = None,
    has_snippets: bool = False,
) -> Iterator[Editor]:
    """Start an editor; at the end, the server must end well, with nothing in its log."""
    editor = Editor(folder, environment, *args, encodings=encodings, options=options, has_snippets=has_snippets)
    try:
        yield editor
        editor.close()
    finally:
        editor.kill()
