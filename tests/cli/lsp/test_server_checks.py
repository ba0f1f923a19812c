"""What a server finds in a flow that is saved, if the user has named one."""

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
    """A server with a component of its own."""
    config = tmp_path_factory.mktemp("shop") / "shop.yml"
    # Without routes, the components of a server are known if the plugin has the name of the path.
    config.write_text(_SHOP.replace("  mock:\n", "  shop:\n").replace("plugin: mock", "plugin: shop"))
    with StepflowRuntime.start(config, log_config=LogConfig(level="error")) as server:
        yield server


def codes(found: list[Json]) -> list[str]:
    return [each["code"] for each in found]


def saved(editor: Editor) -> list[Json]:
    """Save the flow, and return the diagnostics of the server, which come after those of the check offline."""
    offline = editor.save("buys.yaml")
    number = editor.number_published
    while editor.number_published == number:
        editor.handle_next()
    found = editor.diagnostics("buys.yaml")
    assert len(found) > len(offline)
    return found


@pytest.mark.parametrize("how", ["environment", "settings", "profile"])
def test_a_save(how: str, shop: StepflowRuntime, stepflow: Stepflow) -> None:
    """The diagnostics are those of `validate`, at the same places."""
    (stepflow.folder / "buys.yaml").write_text(FLOW)
    wanted = json.loads(stepflow("validate", "buys.yaml", "--url", shop.url, "-o", "json").stdout)
    if how == "environment":
        stepflow.environment["STEPFLOW_URL"] = shop.url
    if how == "profile":
        assert stepflow("config", "set", "profiles.shop.url", shop.url).code == 0
        stepflow.environment["STEPFLOW_PROFILE"] = "shop"
    options = {"server": shop.url} if how == "settings" else None
    with started(stepflow.folder, stepflow.environment, options=options) as editor:
        editor.open("buys.yaml", FLOW)
        assert editor.rules("buys.yaml") == []
        found = saved(editor)
        assert {"component-input", "unknown-output-path", "missingFlowName"} <= {*codes(found)}
        told = {(each["code"], each["range"]["start"]["line"] + 1) for each in found}
        assert told == {(each["kind"], each["line"]) for each in wanted}
        # What the server said is about the text that was saved.
        editor.replace("buys.yaml", f"name: buys\n{FLOW}")
        assert editor.rules("buys.yaml") == []
        assert "missingFlowName" not in codes(saved(editor))


def test_a_server_that_does_not_answer_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    from stepflow_cli.lsp.cursor import DocumentText
    from stepflow_cli.lsp.document_analysis import ServerChecker, analyze_document

    checks, analysis = ServerChecker(), analyze_document("buys.yaml", DocumentText(FLOW), CheckRules())
    checks.url = "http://127.0.0.1:9"
    assert [checks.check_flow(analysis) for _ in range(3)] == [None] * 3
    [said] = caplog.messages
    assert said.startswith("the server does not check saved flows: ")
    checks.url = "nonsense"
    assert checks.check_flow(analysis) is None
    assert len(caplog.messages) == 2
    checks.abort_requests()
    checks.url = "http://127.0.0.1:8"
    assert checks.check_flow(analysis) is None
    assert len(caplog.messages) == 2


def test_a_project_names_no_server_and_starts_none(stepflow: Stepflow, tmp_path: Path) -> None:
    """Opening and saving the files of a cloned project connects to nothing and starts nothing."""
    folder = stepflow.folder
    (folder / ".git").mkdir()
    mark = tmp_path / "started"
    (folder / "stepflow-config.yml").write_text(
        f"plugins:\n  evil: {{type: mcp, command: touch, args: [{mark}]}}\nroutes:\n  /shop: [{{plugin: evil}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for facts in (f'url = "{url}"', f'server = "{url}"', f'[profiles.a]\nurl = "{url}"', 'command = "touch x"'):
            (folder / "stepflow.toml").write_text(f"{facts}\n")
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
    assert not mark.exists()
