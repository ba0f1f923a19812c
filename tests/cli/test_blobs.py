"""`stepflow blobs` stores and prints values and files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.cli.command import FORKED, Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

FORMS = ("table", "json", "jsonl", "yaml", "name")
BYTES = bytes(range(256))


@pytest.fixture
def blobs(stepflow: Stepflow, server: str) -> Stepflow:
    """The command, with a server and some files."""
    (stepflow.folder / "value.json").write_text('{"number": 9007199254740993, "list": [1.0, "ä"]}')
    (stepflow.folder / "value.yaml").write_text("a: [1, null]\n")
    (stepflow.folder / "bytes.bin").write_bytes(BYTES)
    (stepflow.folder / "größe.txt").write_text("text\n")
    return stepflow


def store(stepflow: Stepflow, *args: str) -> str:
    """Store a blob and return its ID."""
    done = stepflow("blobs", "put", *args)
    assert done.code == 0, done
    return done.stdout.strip()


def test_put(blobs: Stepflow, golden: Golden) -> None:
    golden(
        blobs("blobs", "put", "value.json"),
        *(blobs("blobs", "put", "bytes.bin", "-o", form) for form in FORMS),
        blobs("blobs", "put", "value.yaml", "-o", "table"),
        blobs("blobs", "put", "value.yaml", "--type", "binary", "-o", "table"),
        blobs("blobs", "put", "hello.yaml", "--type", "flow", "--filename", "flow.yaml", "-o", "table"),
        blobs("blobs", "put", "größe.txt", "-o", "table"),
        blobs("blobs", "put", "-", "-o", "table", stdin="{}"),
        blobs("blobs", "put", "-", "--type", "data", "-o", "table", stdin="a: 1"),
    )


def test_put_with_invalid_arguments(blobs: Stepflow, golden: Golden) -> None:
    golden(
        blobs("blobs", "put"),
        blobs("blobs", "put", "none.bin"),
        blobs("blobs", "put", "none.json", "-o", "json"),
        blobs("blobs", "put", "."),
        blobs("blobs", "put", "bytes.bin", "--type", "data"),
        blobs("blobs", "put", "-", "--type", "flow", stdin="[1]"),
        blobs("blobs", "put", "bytes.bin", "--type", "bianry"),
        blobs("blobs", "put", "bytes.bin", "--filename", "größe"),
    )


def test_get(blobs: Stepflow, golden: Golden) -> None:
    value, raw = store(blobs, "value.json"), store(blobs, "größe.txt", "--filename", "size.txt")
    golden(
        blobs("blobs", "get", value),
        *(blobs("blobs", "get", value, "-o", form) for form in FORMS),
        blobs("blobs", "get", raw),
        *(blobs("blobs", "get", raw, "-o", form) for form in FORMS),
        blobs("blobs", "get", "0" * 64),
        blobs("blobs", "get", "nonsense", "-o", "json"),
        blobs("blobs", "get"),
    )


def test_bytes_are_unchanged(blobs: Stepflow) -> None:
    raw = store(blobs, "bytes.bin")
    done = blobs("blobs", "get", raw, "--output", "back.bin")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert (blobs.folder / "back.bin").read_bytes() == BYTES
    for args in ((), ("--output", "-")):
        piped = subprocess.run(
            [FORKED, "blobs", "get", raw, *args], capture_output=True, env=blobs.environment, timeout=60
        )
        assert (piped.returncode, piped.stdout) == (0, BYTES)
    assert blobs("blobs", "get", raw, "--output", "no/folder").code == 2


def test_values_are_unchanged(blobs: Stepflow) -> None:
    value = store(blobs, "value.json")
    for ending, text in (
        ("yaml", "number: 9007199254740993"),
        ("json", '  "number": 9007199254740993'),
        ("jsonl", '"number": 9007199254740993'),
    ):
        assert blobs("blobs", "get", value, "--output", f"back.{ending}").code == 0
        assert text in (blobs.folder / f"back.{ending}").read_text()


def test_on_a_terminal(blobs: Stepflow, terminal: Callable[..., Terminal], golden: Golden) -> None:
    raw, text = store(blobs, "bytes.bin"), store(blobs, "größe.txt")
    golden(
        terminal("blobs", "put", "bytes.bin", "-o", "table"),
        terminal("blobs", "get", raw),
        terminal("blobs", "get", raw, "-o", "table"),
        terminal("blobs", "get", text, "--output", "-"),
    )


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("blobs", "put", "hello.yaml"),
        stepflow("blobs", "get", "0" * 64, "-o", "json"),
        stepflow("blobs", "ptu"),
    )
