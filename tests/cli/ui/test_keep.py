"""Runs can be kept as test cases in flow files, and only files inside the folder are read and written."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stepflow_cli.ui.flow_folder import FlowFolder
from stepflow_client import StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.ui.process import StartUi, Ui, form

FLOW = """# Greets.
name: greeter
steps:
- id: greet  # the only step
  component: /builtin/noop
  input: {name: {$input: name}}
output: {$step: greet}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flows")
    (root / "below").mkdir()
    (root / "below" / "greeter.yaml").write_text(FLOW)
    (root / "other.yaml").write_text(FLOW.replace("greeter", "other"))
    return root


@pytest.fixture(scope="module")
def pages(start_ui: StartUi, newest_server: StepflowRuntime, folder: Path) -> Ui:
    return start_ui(newest_server.url, "--flows", str(folder))


@pytest.fixture(scope="module")
def browser(pages: Ui) -> Iterator[httpx.Client]:
    with pages.browser() as opened:
        yield opened


def start_run(browser: httpx.Client, server: StepflowRuntime, flow: str, value: Any) -> str:
    flow_id = server.sync_client.store_flow(yaml.safe_load(flow)).flow_id
    path = f"/flows/{flow_id}/start"
    batch = {"batch": "1"} if isinstance(value, list) else {}
    data = {**form(browser.get(f"/flows/{flow_id}"), path), "raw": json.dumps(value), **batch}
    run_id = browser.post(path, data=data).headers["location"].rpartition("/")[2]
    server.sync_client.wait_run(run_id, timeout=60)
    return run_id


def test_kept_items_become_passing_test_cases(
    browser: httpx.Client, newest_server: StepflowRuntime, folder: Path, stepflow: Stepflow
) -> None:
    run_id = start_run(browser, newest_server, FLOW, [{"name": "Ada"}, {"nam": "Bo"}])
    file = folder / "below" / "greeter.yaml"
    path = f"/runs/{run_id}/keep"
    for item, name in ((0, "a name"), (1, "no name")):
        page = browser.get(f"{path}?item={item}&name={name}")
        assert "below/greeter.yaml" in page.text
        assert f"+  - name: {name}" in page.text
        assert name not in file.read_text()
        kept = browser.post(path, data=hidden_fields(page, path))
        assert kept.status_code == 303, kept.text
        confirmation = browser.get(kept.headers["location"])
        assert f"stepflow test {file}" in confirmation.text
    text = file.read_text()
    assert text.startswith(FLOW)
    result = stepflow("test", str(file))
    assert result.code == 0, result.stderr
    assert "2 passed" in result.stdout + result.stderr
    again = browser.get(f"{path}?item=0&name=a name")
    assert "already has a test case &#39;a name&#39;" in again.text


def hidden_fields(page: httpx.Response, path: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in form(page, path).items()}


def test_changed_file_or_form_is_not_written(
    browser: httpx.Client, newest_server: StepflowRuntime, folder: Path
) -> None:
    flow = FLOW.replace("greeter", "other")
    run_id = start_run(browser, newest_server, flow, {"name": "Ada"})
    path = f"/runs/{run_id}/keep"
    page = browser.get(path)
    data = hidden_fields(page, path)
    file = folder / "other.yaml"
    file.write_text(flow + "# changed\n")
    refused = browser.post(path, data=data)
    assert refused.status_code == 409
    assert "The file has changed" in refused.text
    assert file.read_text() == flow + "# changed\n"
    for change in ({"name": "something else"}, {"digest": "0"}, {"file": "below/greeter.yaml"}, {"file": "../x.yaml"}):
        data = hidden_fields(browser.get(path), path) | change
        assert browser.post(path, data=data).status_code in (400, 409), change
    assert file.read_text() == flow + "# changed\n"


def test_file_names_cannot_leave_the_folder(
    browser: httpx.Client, newest_server: StepflowRuntime, folder: Path
) -> None:
    outside = folder.parent / "outside.yaml"
    outside.write_text(FLOW)
    run_id = start_run(browser, newest_server, FLOW, {"name": "Ada"})
    for name in (
        "../outside.yaml",
        str(outside),
        "below/../../outside.yaml",
        "below\\..\\..\\outside.yaml",
        "\x00",
        ".",
    ):
        page = browser.get(f"/runs/{run_id}/keep", params={"file": name})
        assert page.status_code == 200
        assert "below/greeter.yaml" in page.text
    assert outside.read_text() == FLOW


def test_without_a_folder_the_case_is_shown_for_copying(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, FLOW, {"name": "Ada"})
    page = session.get(f"/runs/{run_id}/keep?name=mine")
    assert 'action="/runs/' not in page.text
    text = re.search(r'<pre id="yaml">(.*?)</pre>', page.text, re.DOTALL)
    assert text
    assert yaml.safe_load(html.unescape(text[1])) == {
        "test": {
            "cases": [
                {
                    "name": "mine",
                    "input": {"name": "Ada"},
                    "output": {"outcome": "success", "result": {"name": "Ada"}},
                }
            ]
        }
    }
    assert session.post(f"/runs/{run_id}/keep", data={"csrf": "x"}).status_code == 403


def test_runs_that_cannot_be_kept(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    # This run was not started from the pages, so its input is unknown.
    run_id = client.wait_run(client.submit(yaml.safe_load(FLOW), {"name": "x"}), timeout=60).run_id
    page = session.get(f"/runs/{run_id}/keep")
    assert page.status_code == 400
    assert "input is unknown" in page.text
    assert session.get(f"/runs/{run_id}/keep?item=1").status_code == 404
    assert session.get(f"/runs/{run_id}/keep?item=%00").status_code == 404


def test_symlinks_cannot_leave_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for each in (inside, outside):
        each.mkdir()
        (each / "a.yaml").write_text(FLOW)
    (inside / "link.yaml").symlink_to(outside / "a.yaml")
    (inside / "folder").symlink_to(outside)
    (inside / "loop.yaml").symlink_to(inside / "loop.yaml")
    (inside / "same.yaml").symlink_to(inside / "a.yaml")
    folder = FlowFolder(inside)
    assert [each.name for each in folder.list_flow_files()] == ["a.yaml"]
    (file,) = folder.list_flow_files()
    (inside / "a.yaml").unlink()
    (inside / "a.yaml").symlink_to(outside / "a.yaml")
    with pytest.raises(OSError, match="outside"):
        folder.write_if_unchanged(file, b"stolen", expected_content=FLOW.encode())
    assert (outside / "a.yaml").read_text() == FLOW


def test_folder_may_be_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.yaml").write_text(FLOW)
    os.symlink(tmp_path / "real", tmp_path / "link")
    (file,) = FlowFolder(tmp_path / "link").list_flow_files()
    assert file.name == "a.yaml"


def test_most_likely_file_is_first(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.yaml").write_text(FLOW)
    (tmp_path / "a.yaml").write_text(FLOW.replace("id: greet", "id: other").replace("$step: greet", "$step: other"))
    (tmp_path / "c.yaml").write_text(FLOW + "test:\n  cases:\n  - name: a\n    input: 1\n")
    (tmp_path / "d.yaml").write_text(FLOW.replace("greeter", "unlike"))
    (tmp_path / "broken.yaml").write_text("steps: [")
    folder, flow = FlowFolder(tmp_path), yaml.safe_load(FLOW)
    assert [each.name for each in folder.list_likely_source_files(flow)] == ["b.yaml", "c.yaml", "a.yaml"]
    assert folder.list_likely_source_files(flow, str(tmp_path / "a.yaml"))[0].name == "a.yaml"
    (tmp_path / "b.yaml").write_text(FLOW.replace("greeter", "unlike"))
    assert [each.name for each in folder.list_likely_source_files(flow)] == ["c.yaml", "a.yaml"]
