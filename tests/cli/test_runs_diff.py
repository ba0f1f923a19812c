"""`stepflow runs diff` shows the differences between two runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import UNKNOWN, Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

ONE = {"pages": [{"title": "Owls", "words": 120}, {"title": "Herons", "words": 80}], "language": "en"}
OTHER = {"pages": [{"title": "Owls", "words": 120}, {"title": "Herons", "words": 81}], "language": "en"}


def chain_of_six_steps(secret: str = "sesame-one") -> dict[str, Any]:
    """Return a flow of six steps, which each pass on their input."""
    steps: list[dict[str, Any]] = [{"id": "a", "component": "/builtin/noop", "input": {"document": {"$input": "$"}}}]
    for before, name in zip("abcde", "bcdef", strict=True):
        steps.append({"id": name, "component": "/builtin/noop", "input": {"from": {"$step": before}, "own": name}})
    key = {"type": "string", "is_secret": True, "default": secret}
    variables = {"type": "object", "properties": {"key": key}}
    schemas = {"properties": {"variables": variables}}
    return {"name": "six", "schemas": schemas, "steps": steps, "output": {"last": {"$step": "f"}}}


@pytest.fixture
def pair(start: Start) -> tuple[str, str]:
    """Two runs of six steps whose inputs differ in one nested value."""
    return start(chain_of_six_steps(), [ONE]), start(chain_of_six_steps(), [OTHER])


def test_single_nested_difference(stepflow: Stepflow, pair: tuple[str, str]) -> None:
    done = stepflow("runs", "diff", *pair, "-o", "json")
    assert json.loads(done.stdout) == [
        {
            "path": "$.steps.a.output.document.pages[1].words",
            "kind": "changed",
            "a": 80,
            "b": 81,
            "item_index": 0,
            "step_id": "a",
            "origin": None,
        }
    ]
    assert done.code == 1
    every = stepflow("runs", "diff", *pair, "--all", "-o", "name")
    assert len(every.stdout.splitlines()) == 7


def test_ignored_paths_and_equal_runs(stepflow: Stepflow, pair: tuple[str, str]) -> None:
    ignored = stepflow("runs", "diff", *pair, "--ignore", "$.steps.*.output", "--ignore", "output.last")
    assert (ignored.code, ignored.stdout) == (0, "")
    assert "no differences: A completed in" in ignored.stderr
    part = stepflow("runs", "diff", *pair, "--ignore", "$.steps.a.output.document.pages[*].words", "-o", "name")
    assert part.stdout.splitlines()[0] == "$.steps.b.output.from.document.pages[1].words"
    same = stepflow("runs", "diff", pair[0], pair[0], "-o", "json")
    assert (same.code, json.loads(same.stdout)) == (0, [])


def test_secrets_are_hidden(stepflow: Stepflow, start: Start) -> None:
    one, other = (
        start(chain_of_six_steps(), [{"said": "sesame-one"}]),
        start(chain_of_six_steps("sesame-two"), [{"said": "sesame-two"}]),
    )
    for form in ("table", "json", "yaml"):
        done = stepflow("runs", "diff", one, other, "--all", "-o", form)
        assert done.code == 1
        assert "sesame" not in done.stdout + done.stderr
        assert "$.flow.schemas.properties.variables.properties.key.default" in done.stdout


def test_failures_and_batches(stepflow: Stepflow, start: Start) -> None:
    flow = {
        "name": "maybe",
        "steps": [{"id": "only", "component": "/builtin/noop", "input": {"n": {"$input": "$.n"}}}],
        "output": {"$step": "only"},
    }
    one, other = start(flow, [{"n": 1}, {"n": 2}]), start(flow, [{"n": 1}, {}, {"n": 3}])
    done = stepflow("runs", "diff", one, other, "-o", "jsonl")
    paths = {each["path"]: each["kind"] for each in map(json.loads, done.stdout.splitlines())}
    assert paths["$.items[1].status"] == "changed"
    assert paths["$.items[2]"] == "added"
    assert not any(path.startswith(("$.items[0]", "$.flow")) for path in paths)


def test_examples_are_not_compared(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "names.jsonl").write_text('{"name": "Bob"}\n{"name": "Ada"}\n')
    alone = stepflow("run", "hello.yaml", "--example", "ada", "-o", "name").stdout.strip()
    # A batch stores the flow without its examples.
    batch = stepflow("batch", "hello.yaml", "names.jsonl", "-o", "name").stdout.strip()
    done = stepflow("runs", "diff", alone, batch, "--item", "0:1", "-o", "json")
    assert (done.code, json.loads(done.stdout)) == (0, []), done


def test_spellings_of_a_path_are_not_differences(stepflow: Stepflow, server: str) -> None:
    stored = stepflow("flows", "store", "hello.yaml", "-o", "name").stdout.strip()
    run = stepflow("run", "hello.yaml", "--example", "ada", "-o", "name").stdout.strip()
    # Servers return a stored flow with `$.name` in place of `name`.
    again = stepflow("runs", "rerun", run, "--flow", stored, "-o", "name").stdout.strip()
    done = stepflow("runs", "diff", run, again, "-o", "json")
    assert (done.code, json.loads(done.stdout)) == (0, []), done


def test_one_server_under_two_names(stepflow: Stepflow, server: str) -> None:
    names = ("127.0.0.1", "localhost")
    alias = server.replace(*(names if names[0] in server else names[::-1]))
    for url in (server, alias):
        assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--url", url).code == 0
    compared = stepflow("runs", "diff", "@1", "@2")
    assert (compared.code, "no differences" in compared.stderr) == (0, True), compared


def test_invalid_arguments(stepflow: Stepflow, pair: tuple[str, str]) -> None:
    assert stepflow("runs", "diff", pair[0], UNKNOWN).code == 1
    assert stepflow("runs", "diff", pair[0]).code == 2
    invalid = stepflow("runs", "diff", *pair, "--ignore", "$.steps[x]")
    assert (invalid.code, "cannot ignore '$.steps[x]'" in invalid.stderr) == (2, True)
    assert stepflow("runs", "diff", *pair, "--ignore", "$").code == 2


def test_on_a_terminal(terminal: Callable[..., Terminal], pair: tuple[str, str], golden: Golden) -> None:
    shown = terminal("runs", "diff", *pair, width=100)
    golden(shown)
    assert "words" in re.sub(r"\s", "", shown.screen)


def test_diff_of_items(stepflow: Stepflow, start: Start) -> None:
    batch, single = start(chain_of_six_steps(), [OTHER, ONE]), start(chain_of_six_steps(), [ONE])
    same = stepflow("runs", "diff", batch, single, "--item", "1:0")
    assert (same.code, same.stdout) == (0, "")
    other = stepflow("runs", "diff", batch, single, "--item", "0", "-o", "name")
    assert (other.code, other.stdout) == (1, "$.steps.a.output.document.pages[1].words\n")
    for item, message in (
        ("1", "has no item 1"),
        ("a", "item index"),
        ("1:", "has no item 1"),
        ("-1:0", "index"),
    ):
        refused = stepflow("runs", "diff", batch, single, f"--item={item}")
        assert (refused.code, message in refused.stderr) == (2, True), refused.stderr
