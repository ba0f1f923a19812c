"""Commands use a project's settings, and cloned projects can neither start programs nor choose servers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests import releases
from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.test_validate import _SHOP

_BUYS = """\
name: buys
steps:
- {id: right, component: /shop/price, input: {sku: tea}}
- {id: wrong, component: /shop/price, input: {sku: 5}}
output: {$step: wrong, path: $.eur}
"""
_SETTINGS = """\
flows = ["flows"]
components = "stepflow-components.json"
config = "server/shop.yml"
"""


@pytest.fixture
def shop(stepflow: Stepflow) -> Stepflow:
    """The command, in a project whose server configuration has components of its own."""
    for folder in ("flows", "server"):
        (stepflow.folder / folder).mkdir()
    (stepflow.folder / "server" / "shop.yml").write_text(_SHOP)
    (stepflow.folder / "flows" / "buys.yaml").write_text(_BUYS)
    (stepflow.folder / "stepflow.toml").write_text(_SETTINGS)
    done = stepflow("components", "lock")
    assert (done.code, done.stdout) == (0, ""), done
    assert done.stderr.startswith(
        "stepflow: the embedded server uses configuration server/shop.yml, set in stepflow.toml\n"
    )
    return stepflow


def test_components_are_checked_without_a_server(shop: Stepflow, golden: Golden) -> None:
    (shop.folder / "server" / "shop.yml").unlink()
    golden(
        shop("validate", "--offline", "flows/buys.yaml"),
        shop("validate", "--offline"),
        shop("validate", "--offline", "-o", "github", "."),
        shop("infer", "--offline", "flows/buys.yaml"),
    )


def test_schema_has_the_components_of_the_project(shop: Stepflow) -> None:
    done = shop("schema")
    assert (
        done.stderr
        == "stepflow: the schema includes the components of stepflow-components.json, set in stepflow.toml\n"
    )
    assert '"/shop/price"' in done.stdout
    (shop.folder / "empty.json").write_text("[]")
    option = shop("schema", "--components", "empty.json")
    assert (option.stderr, '"/shop/price"' in option.stdout) == ("", False)
    (shop.folder / "stepflow-components.json").unlink()
    missing = shop("schema")
    assert (missing.code, "which stepflow.toml names as components, does not exist" in missing.stderr) == (2, True)


def test_each_flow_uses_its_own_project(shop: Stepflow) -> None:
    inner = shop.folder / "inner"
    inner.mkdir()
    (inner / "stepflow.toml").write_text("[validate]\nignore = ['unused-step']\n")
    (inner / "buys.yaml").write_text(_BUYS)
    records = json.loads(shop("validate", "--offline", "flows/buys.yaml", "inner/buys.yaml", "-o", "json").stdout)
    assert {each["flow"] for each in records if each["kind"] == "component-input"} == {"flows/buys.yaml"}


def test_fail_on_of_each_project(shop: Stepflow) -> None:
    (shop.folder / "inner").mkdir()
    (shop.folder / "inner" / "stepflow.toml").write_text('[validate]\nfail-on = "warning"\n')
    warned = "steps: [{id: a, component: /builtin/noop}]\noutput: 1\n"
    for folder in ("flows", "inner"):
        (shop.folder / folder / "warned.yaml").write_text(warned)
    done = shop("validate", "--offline", "flows/warned.yaml", "inner/warned.yaml")
    assert done.code == 3
    assert done.stderr.endswith("stepflow: 1 of 2 flows is invalid\nhint: " + _WARNED), done


_WARNED = "to allow warnings, use --fail-on error\n"


def test_components_of_a_server_override_the_lock_file(shop: Stepflow) -> None:
    (shop.folder / "stepflow-components.json").write_text("[]")
    unknown = shop("validate", "flows/buys.yaml")
    assert "[unknown-component]" in unknown.stdout
    with_server = shop("validate", "flows/buys.yaml", "--config", "server/shop.yml")
    assert "[component-input]" in with_server.stdout
    assert "[unknown-component]" not in with_server.stdout


def test_lock_check_compares_keys(shop: Stepflow) -> None:
    check = ("components", "lock", "--check")
    assert shop(*check).code == 0
    config = shop.folder / "server" / "shop.yml"
    config.write_text(
        _SHOP.replace("sku: {type: string}}, required: [sku]", "sku: {type: integer}, n: {}}, required: []")
    )
    done = shop(*check)
    assert done.code == 1
    keys = "input_schema.properties.n is new, input_schema.properties.sku.type, input_schema.required[0] is gone"
    assert f"stepflow-components.json differs from the server: changed: /shop/price ({keys})" in done.stderr
    config.write_text(_SHOP.replace("/price:", "/cost:"))
    assert "new: /shop/cost; gone: /shop/price\n" in shop(*check).stderr


def test_run_and_call_use_the_configuration_of_the_project(shop: Stepflow) -> None:
    note = "stepflow: the embedded server uses configuration {}, set in {}\n"
    here = note.format("server/shop.yml", "stepflow.toml")
    (shop.folder / "flows" / "tea.yaml").write_text(_BUYS.replace("sku: 5", "sku: gold"))
    done = shop("run", "flows/tea.yaml")
    assert (done.code, done.stdout.strip(), done.stderr) == (0, "4", here)
    done = shop("components", "call", "/shop/price", "--input-json", '{"sku": "tea"}')
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"eur": 3}, here)
    # The project is that of the flow, not of the working folder.
    folder, shop.folder = shop.folder, shop.home
    done = shop("run", str(folder / "flows" / "tea.yaml"))
    assert (done.code, done.stderr) == (0, note.format(folder / "server/shop.yml", folder / "stepflow.toml"))
    shop.folder = folder
    assert shop("run", "flows/tea.yaml", "--config", "server/shop.yml").stderr == ""
    # A file set in stepflow.toml has precedence over one in the flow's folder.
    (folder / "flows" / "stepflow-config.yml").write_text("plugins: {builtin: {type: nonsense}}\n")
    assert shop("run", "flows/tea.yaml").stdout.strip() == "4"
    (folder / "server" / "shop.yml").unlink()
    done = shop("run", "flows/tea.yaml")
    assert done.code == 2
    assert done.stderr == "stepflow: server/shop.yml, which stepflow.toml names as config, does not exist\n"


_TESTED = """\
name: tested
steps: [{id: price, component: /shop/price, input: {sku: {$input: $.sku}}}]
output: {$step: price}
test: {cases: [{name: tea, input: {sku: tea}, output: {outcome: success, result: {eur: 3}}}]}
"""


def test_tests_have_their_own_configuration(shop: Stepflow) -> None:
    (shop.folder / "flows" / "tested.yaml").write_text(_TESTED)
    (shop.folder / "flows" / "buys.yaml").unlink()
    done = shop("test")
    assert (done.code, "server/shop.yml, set in stepflow.toml" in done.stderr) == (0, True), done
    (shop.folder / "server" / "test.yml").write_text(_SHOP.replace("eur: 3", "eur: 5"))
    (shop.folder / "stepflow.toml").write_text(_SETTINGS + "[test]\nconfig = 'server/test.yml'\n")
    done = shop("test")
    assert (done.code, "server/test.yml, set in stepflow.toml" in done.stderr) == (1, True), done
    assert shop("test", "--config", "server/shop.yml").stderr.count("set in stepflow.toml") == 0


def test_pytest_prints_the_configuration_it_uses(shop: Stepflow) -> None:
    (shop.folder / "flows" / "tested.yaml").write_text(_TESTED)
    done = shop.shell(f"{sys.executable} -m pytest -p no:cacheprovider --stepflow flows/tested.yaml")
    assert done.code == 0, done
    config, file = shop.folder / "server" / "shop.yml", shop.folder / "stepflow.toml"
    shown = [line for line in done.stdout.splitlines() if line.startswith("stepflow: ")]
    note = "stepflow: the embedded server uses configuration {}, set in {}"
    assert shown in ([note.format(config, file)], [note.format("server/shop.yml", "stepflow.toml")])


def test_no_flows(stepflow: Stepflow) -> None:
    for command in ("validate", "test", "codegen"):
        done = stepflow(command)
        assert (done.code, 'hint: or name them in stepflow.toml: flows = ["flows"]' in done.stderr) == (
            2, True,
        )  # fmt: skip
    (stepflow.folder / "stepflow.toml").write_text("flows = ['nowhere']\n")
    done = stepflow("validate")
    assert done.stderr == "stepflow: nowhere, listed under flows in stepflow.toml, does not exist\n"
    # `flows store` stores only files named on the command line.
    assert "pass at least one flow file" in stepflow("flows", "store").stderr


def test_target_is_a_setting(stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow.toml").write_text('target = "0.12"\n')
    assert stepflow("config", "get", "target").stdout == "0.12\n"


def _attack(folder: Path) -> Path:
    """Make a project whose configuration starts a program. Return the file that the program creates."""
    proof = folder.parent / "proof"
    (folder / "server").mkdir()
    program = folder / "server" / "program.py"
    # The worker fails, so the server does not wait for it.
    program.write_text(f"import pathlib; pathlib.Path({str(proof)!r}).write_text('ran'); raise SystemExit(1)\n")
    config = releases.builtin_config(releases.NEWEST)
    config["plugins"]["evil"] = {
        "type": "grpc", "queueName": "evil", "command": sys.executable, "args": [str(program)],
    }  # fmt: skip
    (folder / "server" / "evil.yml").write_text(json.dumps(config))
    (folder / "stepflow.toml").write_text(
        "flows = ['flows']\nconfig = 'server/evil.yml'\n[test]\nconfig = 'server/evil.yml'\n"
    )
    (folder / "flows").mkdir()
    (folder / "flows" / "flow.yaml").write_text("name: f\noutput: 1\n")
    return proof


@pytest.mark.parametrize(
    "arguments",
    [
        "validate", "validate flows/flow.yaml", "validate --offline", "validate --type-check .",
        "infer flows/flow.yaml",
        "visualize flows/flow.yaml", "schema", "codegen -O -", "config show",
        "run flows/flow.yaml --dry-run --url http://127.0.0.1:9",
    ],
)  # fmt: skip
def test_cloned_project_starts_no_program(arguments: str, stepflow: Stepflow) -> None:
    proof = _attack(stepflow.folder)
    done = stepflow(*arguments.split())
    assert "evil" not in done.stderr
    assert not proof.exists()


def test_run_prints_the_configuration_that_it_starts(stepflow: Stepflow) -> None:
    proof = _attack(stepflow.folder)
    done = stepflow("run", "flows/flow.yaml")
    assert "stepflow: the embedded server uses configuration server/evil.yml, set in stepflow.toml\n" in done.stderr
    assert proof.exists()


@pytest.mark.parametrize(
    "settings",
    [
        "url = 'http://127.0.0.1:9'", "[profiles.x]\nurl = 'http://127.0.0.1:9'", "current = 'x'",
        "token_command = 'touch proof'", "components = '/etc/passwd'", "components = 'link.json'",
        "config = '../evil.yml'", "[test]\nconfig = '/tmp/evil.yml'",
    ],
)  # fmt: skip
def test_cloned_project_cannot_set_servers_or_outside_files(settings: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "link.json").symlink_to("/etc/passwd")
    (stepflow.folder / "stepflow.toml").write_text(settings + "\n")
    for arguments in ("validate --offline hello.yaml", "run hello.yaml", "test hello.yaml"):
        done = stepflow(*arguments.split())
        assert done.code == 2, done
        assert "stepflow.toml: " in done.stdout + done.stderr
        assert "root:" not in done.stdout + done.stderr
    assert not (stepflow.folder / "proof").exists()


def test_components_setting_must_be_a_file(stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow.toml").write_text("components = 'http://127.0.0.1:9/c.json'\n")
    done = stepflow("validate", "--offline", "hello.yaml")
    assert done.code == 2
    assert "127.0.0.1:9/c.json, which stepflow.toml names as components, does not exist" in done.stderr
