"""`stepflow components` lists, locks and calls components."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import releases
from tests.cli.command import Stepflow
from tests.cli.gateway import Gateway
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


def test_list(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("components", "list"),
        stepflow("components", "list", "--format", "pretty", "--fields", "path"),
        stepflow("components", "list", "-o", "name"),
        stepflow("components", "list", "-o", "jsonl", "--no-schemas"),
        stepflow("components", "list", "-o", "yaml", "--fields", "name,input_schema.type"),
    )


def test_list_on_a_terminal(terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    golden(terminal("components", "list"))


def test_plugin_whose_components_cannot_be_listed(stepflow: Stepflow, server: str) -> None:
    def failing(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        failed = b'"failedPlugins":[{"plugin":"python","error":"gone \\u001b[31m"}]'
        return status, body.replace(b'"failedPlugins":[]', failed).replace(b'"complete":true', b'"complete":false')

    with Gateway(server, failing) as gateway:
        done = stepflow("components", "list", "--url", gateway.url, "-o", "name")
        assert (done.code, done.stderr) == (
            0,
            "stepflow: cannot list the components of plugin python: gone \\x1b[31m\n",
        )
        # With -o json, standard error has errors only.
        assert stepflow("components", "list", "--url", gateway.url, "-o", "json").stderr == ""


def test_table_has_no_schemas(stepflow: Stepflow) -> None:
    note = "stepflow: a table has no room for schemas: use -o json\n"
    assert stepflow("components", "list", "--local", "--schemas").stderr == note
    assert stepflow("components", "list", "--local", "--schemas", "-o", "json").stderr == ""


def test_list_components_is_an_alias(stepflow: Stepflow) -> None:
    done = stepflow("list-components", "-o", "json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(stepflow("components", "list", "-o", "json").stdout)


def test_unreachable_components_are_hidden(stepflow: Stepflow) -> None:
    config = releases.builtin_config(releases.NEWEST)
    config["routes"] = {"/builtin": [{"plugin": "builtin", "componentAllow": ["/eval"]}]}
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(config))
    assert stepflow("components", "list", "-o", "name").stdout == "eval\n"
    assert stepflow("components", "list", "-o", "name", "--hide-unreachable").stdout == "eval\n"
    assert "noop" in stepflow("components", "list", "-o", "name", "--no-hide-unreachable").stdout.split()


@pytest.fixture
def lock(stepflow: Stepflow) -> Path:
    done = stepflow("components", "lock")
    assert (done.code, done.stdout) == (0, ""), done
    file = stepflow.folder / "stepflow-components.json"
    wrote, hint = done.stderr.splitlines()
    assert wrote == f"stepflow: wrote {len(json.loads(file.read_text()))} components to {file.name}"
    assert f'components = "{file.name}" in stepflow.toml' in hint
    return file


def test_lock_file_is_used_instead_of_a_server(lock: Path, stepflow: Stepflow) -> None:
    assert json.loads(lock.read_text()) == json.loads(stepflow("components", "list", "-o", "json").stdout)
    # The file is reproducible, although servers change the order of keys.
    assert lock.read_text() == stepflow("components", "lock", "-O", "-").stdout
    components = json.loads(lock.read_text())
    components.append({"name": "charge", "path": "/shop/charge", "input_schema": {}, "output_schema": {}})
    lock.write_text(json.dumps(components))
    flow = {"steps": [{"id": "a", "component": "/shop/chrage"}], "output": {"$step": "a"}}
    (stepflow.folder / "shop.json").write_text(json.dumps(flow))
    done = stepflow("validate", "shop.json", "--offline", "--components", lock.name)
    assert done.code == 3
    assert "/shop/charge" in done.stdout + done.stderr


def test_lock_check_reports_differences(lock: Path, stepflow: Stepflow) -> None:
    done = stepflow("components", "lock", "--check")
    assert (done.code, done.stdout, done.stderr) == (0, "", f"stepflow: {lock.name} is up to date\n")
    components = json.loads(lock.read_text())
    missing, changed = components[0]["path"], components[1]["path"]
    after = components[1]["input_schema"]
    components[1]["input_schema"] = {"type": "object"}
    components[0] |= {"name": "old", "path": "/shop/old"}
    lock.write_text(json.dumps(components))
    before = lock.read_bytes()
    done = stepflow("components", "lock", "--check")
    assert (done.code, done.stdout) == (1, "")
    keys = [f"input_schema.{key} is new" for key in after if key != "type"]
    more = [f"{len(keys) - 5} more"] if len(keys) > 5 else []
    differences = f"new: {missing}; gone: /shop/old; changed: {changed} ({', '.join(sorted(keys)[:5] + more)})"
    assert done.stderr == (
        f"stepflow: {lock.name} differs from the server: {differences}\nhint: to update it, leave out --check\n"
    )
    assert lock.read_bytes() == before
    lock.unlink()
    done = stepflow("components", "lock", "--check", "-o", "json")
    assert done.code == 2  # It prints no data.
    done = stepflow("components", "lock", "--check")
    assert done.stderr == f"stepflow: {lock.name} does not exist\nhint: to write it, leave out --check\n"


def test_no_lock_file_without_all_components(stepflow: Stepflow, server: str) -> None:
    def failing(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        failed = b'"failedPlugins":[{"plugin":"python","error":"gone"}]'
        return status, body.replace(b'"failedPlugins":[]', failed).replace(b'"complete":true', b'"complete":false')

    with Gateway(server, failing) as gateway:
        done = stepflow("components", "lock", "--url", gateway.url)
    assert done.code == 1
    assert done.stderr.startswith("stepflow: the plugin python has no worker (gone)\n")
    assert not (stepflow.folder / "stepflow-components.json").exists()


CALL = ("components", "call", "/builtin/create_messages")


def test_call(stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(
        stepflow(*CALL, "--input-json", '{"user_prompt": "Hi"}'),
        stepflow(*CALL, stdin='{"user_prompt": "Hi"}'),
        stepflow(*CALL, "--input-json", "user_prompt: Hi"),
        stepflow(*CALL, "--input-json", '{"prompt": "Hi"}'),
        stepflow("components", "call", "/builtin/create_mesages", "--input-json", '{"user_prompt": "Hi"}'),
        stepflow("components", "call", "create_messages", "--input-json", "1"),
        stepflow(*CALL, "--example", "ada"),
    )


def test_list_is_one_input(stepflow: Stepflow, server: str) -> None:
    done = stepflow("components", "call", "/builtin/noop", "--input-json", "[1, 2]", "-O", "out.json")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((stepflow.folder / "out.json").read_text()) == [1, 2]


def test_call_is_recorded(stepflow: Stepflow, server: str) -> None:
    assert stepflow(*CALL, "--input-json", '{"user_prompt": "Hi"}', "--url", server).code == 0
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["flow_name"], shown["input"]) == ("/builtin/create_messages", {"user_prompt": "Hi"})
