"""Saved flows are checked by the server, but only by one that the user has named."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepflow_cli.validation.flow_checks import CheckRules
from stepflow_client import LogConfig, StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.lsp.client import Editor, Json, started
from tests.cli.test_validate import _SHOP

FLOW = """\
steps:
  - {id: right, component: /shop/price, input: {sku: tea}}
  - {id: wrong, component: /shop/price, input: {sku: 5}}
output: [{$step: right}, {$step: wrong, path: $.euro}]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepflowRuntime]:
    """A server with a component of its own, `/shop/price`."""
    config = tmp_path_factory.mktemp("shop") / "shop.yml"
    # Servers do not report routes, so the path /shop/price is derived from the plugin's name.
    config.write_text(_SHOP.replace("  mock:\n", "  shop:\n").replace("plugin: mock", "plugin: shop"))
    with StepflowRuntime.start(config, log_config=LogConfig(level="error")) as server:
        yield server


def codes(diagnostics: list[Json]) -> list[str]:
    return [each["code"] for each in diagnostics]


def save_and_check(editor: Editor) -> list[Json]:
    """Save the flow and return the server's diagnostics, which follow those of the offline check."""
    offline = editor.save("buys.yaml")
    publish_count = editor.publish_count
    while editor.publish_count == publish_count:
        editor.handle_next()
    diagnostics = editor.diagnostics("buys.yaml")
    assert len(diagnostics) > len(offline)
    return diagnostics


@pytest.mark.parametrize("source", ["environment", "settings", "profile"])
def test_saved_flows_are_checked_by_the_server(source: str, shop: StepflowRuntime, stepflow: Stepflow) -> None:
    """The diagnostics have the same codes and lines as in `validate`."""
    (stepflow.folder / "buys.yaml").write_text(FLOW)
    expected = json.loads(stepflow("validate", "buys.yaml", "--url", shop.url, "-o", "json").stdout)
    if source == "environment":
        stepflow.environment["STEPFLOW_URL"] = shop.url
    if source == "profile":
        assert stepflow("config", "set", "profiles.shop.url", shop.url).code == 0
        stepflow.environment["STEPFLOW_PROFILE"] = "shop"
    options = {"server": shop.url} if source == "settings" else None
    with started(stepflow.folder, stepflow.environment, options=options) as editor:
        editor.open("buys.yaml", FLOW)
        assert editor.rules("buys.yaml") == []
        diagnostics = save_and_check(editor)
        assert {"component-input", "unknown-output-path", "missingFlowName"} <= {*codes(diagnostics)}
        actual = {(each["code"], each["range"]["start"]["line"] + 1) for each in diagnostics}
        assert actual == {(each["kind"], each["line"]) for each in expected}
        # The server's diagnostics apply to the saved text only.
        editor.replace("buys.yaml", f"name: buys\n{FLOW}")
        assert editor.rules("buys.yaml") == []
        assert "missingFlowName" not in codes(save_and_check(editor))


def test_unreachable_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    from stepflow_cli.lsp.cursor import DocumentText
    from stepflow_cli.lsp.document_analysis import ServerChecker, analyze_document

    checks, analysis = ServerChecker(), analyze_document("buys.yaml", DocumentText(FLOW), CheckRules())
    checks.url = "http://127.0.0.1:9"
    assert [checks.check_flow(analysis) for _ in range(3)] == [None] * 3
    [message] = caplog.messages
    assert message.startswith("the server does not check saved flows: ")
    checks.url = "nonsense"
    assert checks.check_flow(analysis) is None
    assert len(caplog.messages) == 2
    checks.abort_requests()
    checks.url = "http://127.0.0.1:8"
    assert checks.check_flow(analysis) is None
    assert len(caplog.messages) == 2


def test_project_files_cannot_choose_or_start_a_server(stepflow: Stepflow, tmp_path: Path) -> None:
    """Opening and saving the files of a cloned project connects to nothing and starts nothing."""
    folder = stepflow.folder
    (folder / ".git").mkdir()
    marker = tmp_path / "started"
    (folder / "stepflow-config.yml").write_text(
        f"plugins:\n  evil: {{type: mcp, command: touch, args: [{marker}]}}\nroutes:\n  /shop: [{{plugin: evil}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for settings in (f'url = "{url}"', f'server = "{url}"', f'[profiles.a]\nurl = "{url}"', 'command = "touch x"'):
            (folder / "stepflow.toml").write_text(f"{settings}\n")
            editor = Editor(folder, stepflow.environment)
            try:
                editor.open("buys.yaml", FLOW)
                assert editor.save("buys.yaml") == []
                assert "unknown key" in editor.log()
            finally:
                editor.kill()
        (folder / "stepflow.toml").write_text(
            'config = "stepflow-config.yml"\n[test]\nconfig = "stepflow-config.yml"\n'
        )
        with started(folder, stepflow.environment) as editor:
            editor.open("buys.yaml", FLOW)
            assert editor.save("buys.yaml") == []
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not marker.exists()
