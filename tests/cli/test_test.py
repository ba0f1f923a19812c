"""`stepflow test`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

FLOWS = Path(__file__).with_name("tested_flows")


@pytest.fixture(autouse=True)
def flows(stepflow: Stepflow) -> Path:
    folder = stepflow.folder / "tests"
    shutil.copytree(FLOWS, folder)
    return folder


@pytest.mark.usefixtures("server")
def test_results(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("test", "tests"),
        stepflow("test", "tests/tested.yaml", "--diff", "--case", "d*"),
        stepflow("test", "tests", "--tag", "quick", "--case", "*s"),
        stepflow("test", "tests", "-o", "github"),
        stepflow("test", "tests", "--case", "differs", "-o", "json"),
        stepflow("test", "tests", "--case", "passes", "--repeat", "3"),
        stepflow("test", "tests", "--case", "passes", "-o", "jsonl", "--fields", "case,verdict"),
    )


@pytest.mark.usefixtures("server")
def test_on_a_terminal(terminal: Callable[..., Terminal], stepflow: Stepflow, golden: Golden) -> None:
    golden(terminal("test", "tests", width=60, STEPFLOW_URL=stepflow.environment["STEPFLOW_URL"]))


def test_wrong_usage(stepflow: Stepflow, flows: Path, golden: Golden) -> None:
    (flows / "broken.yaml").write_text("test: {cases: [{name: a}]}\nsteps: []\n")
    (flows / "matcher.yaml").write_text(
        "test: {cases: [{name: a, input: 1, output: {outcome: success, result: {$type: int}}}]}\nsteps: []\n"
    )
    golden(
        stepflow("test"),
        stepflow("test", "nowhere"),
        stepflow("test", "hello.yaml"),
        stepflow("test", "tests/tested.yaml", "--case", "pases"),
        stepflow("test", "tests/tested.yaml", "--tag", "quik"),
        stepflow("test", "tests/tested.yaml", "--tag", "quick", "--case", "fails"),
        stepflow("test", "tests/broken.yaml"),
        stepflow("test", "tests/matcher.yaml"),
        stepflow("test", "tests/tested.yaml", "--update", "--repeat", "2"),
        stepflow("test", "tests/tested.yaml", "--replay", "hello.yaml"),
        stepflow("test", "tests/tested.yaml", "--config", "nowhere.yml"),
        stepflow("test", "--help"),
    )


@pytest.mark.usefixtures("server")
def test_update_changes_only_expected_outputs(stepflow: Stepflow, flows: Path) -> None:
    file = flows / "tested.yaml"
    before = file.read_bytes().splitlines()
    done = stepflow("test", "tests", "--update")
    assert done.code == 0, str(done)
    after = file.read_bytes().splitlines()
    assert [line for line in before if line not in after] == [b"          who: Alice   # kept"]
    assert [line for line in after if line not in before] == [
        b"          who: Eve   # kept",
        b"          who: Ann",
        b"          text: Ann",
    ]
    assert stepflow("test", "tests").code == 0
    again = file.read_bytes()
    assert stepflow("test", "tests", "--update").code == 0
    assert file.read_bytes() == again


@pytest.mark.usefixtures("server")
def test_junit(stepflow: Stepflow) -> None:
    assert stepflow("test", "tests", "--junit", "report.xml").code == 1
    suite = ElementTree.parse(stepflow.folder / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    failures = [case.find("failure") for case in suite if case.get("name") == "differs"]
    assert failures[0] is not None
    assert 'expected "Alice", got "Eve"' in str(failures[0].text)


@pytest.mark.usefixtures("server")
def test_recorded_steps_are_replayed_instead_of_executed(stepflow: Stepflow, flows: Path) -> None:
    assert stepflow("test", "tests", "--case", "passes", "--record", "rec.json", "--record-step", "mod*").code == 0
    path = stepflow.folder / "rec.json"
    recording = json.loads(path.read_text())
    recording["flows"]["tests/tested.yaml"]["passes"]["model"]["messages"][0]["content"] = "recorded"
    path.write_text(json.dumps(recording))
    # With a component that no server has, the step could not run.
    text = (flows / "tested.yaml").read_text()
    (flows / "tested.yaml").write_text(text.replace("/builtin/create_messages", "/model/paid"))
    done = stepflow("test", "tests", "--case", "passes", "--replay", "rec.json", "-o", "json")
    assert done.code == 0, str(done)
    assert json.loads(done.stdout)[0]["output"] == {"who": "Bob", "text": "recorded"}
    assert stepflow("test", "tests", "--case", "passes").code == 1


def test_one_server_for_each_configuration(stepflow: Stepflow, flows: Path) -> None:
    builtin = 'plugins: {b: {type: builtin}}\nroutes: {"/builtin": [{plugin: b}]}\n'
    (flows / "stepflow-config.test.yml").write_text(builtin)
    inline = (flows / "tested.yaml").read_text().replace("/builtin/", "/other/")
    config = "  config: {plugins: {b: {type: builtin}}, routes: {/other: [{plugin: b}]}}\n"
    (flows / "inline.yaml").write_text(inline.replace("test:\n", f"test:\n{config}"))
    (flows / "named.yaml").write_text(
        (flows / "tested.yaml").read_text().replace("test:\n", "test:\n  configFile: no.yml\n")
    )
    done = stepflow("test", "tests", "--case", "passes", "-o", "jsonl", "--fields", "file,verdict,message")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["file"], each["verdict"]) for each in records] == [
        ("tests/inline.yaml", "passed"),
        ("tests/named.yaml", "error"),
        ("tests/tested.yaml", "passed"),
    ]
    assert "tests/no.yml does not exist" in records[1]["message"]
    assert sorted(path.name for path in flows.iterdir()) == [
        "inline.yaml",
        "named.yaml",
        "stepflow-config.test.yml",
        "tested.yaml",
    ]


def test_fail_fast_starts_no_further_file(stepflow: Stepflow, flows: Path, server: str) -> None:
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(flows / "tested.yaml", flows / name)
    done = stepflow("test", "tests", "--fail-fast", "--jobs", "1")
    assert "tests/b.yaml: not run\ntests/tested.yaml: not run\n" in done.stdout
    assert "8 skipped after the first failure" in done.stderr
