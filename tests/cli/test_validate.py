"""`stepflow validate` checks flows offline and with a server, and corrects them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml
from stepflow_client import LogConfig, StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.usefixtures("server")
def test_valid(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("validate", "clean.yaml"),
        stepflow("validate", "clean.yaml", "-o", "json"),
        stepflow("validate", "clean.yaml", "-o", "table", "--fields", "code,message"),
        stepflow("validate", "hello.yaml"),
        *(stepflow("validate", "--flow", "hello.yaml", "-o", form) for form in ("json", "jsonl", "yaml", "name")),
        stepflow("validate", "-", stdin=(stepflow.folder / "echo.yaml").read_text()),
        stepflow("validate", "hello.yaml", "clean.yaml", "--flow", "echo.yaml"),
    )


@pytest.mark.usefixtures("server")
def test_invalid(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "unreadable.yaml").write_text("name: unreadable\nsteps: {first: 1}\n")
    golden(
        stepflow("validate", "refused.yaml"),
        stepflow("validate", "refused.yaml", "-o", "json"),
        stepflow("validate", "grave.yaml"),
        stepflow("validate", "hello.yaml", "unreadable.yaml", "refused.yaml"),
        stepflow("validate", "hello.yaml", "clean.yaml", "--strict"),
        stepflow("validate", "grave.yaml", "clean.yaml", "--strict", "-o", "yaml", "--fields", "flow,level"),
    )


@pytest.mark.usefixtures("server")
def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "list.yaml").write_text("[1]")
    (stepflow.folder / "broken.yaml").write_text("a: [")
    golden(
        stepflow("validate"),
        stepflow("validate", "helo.yaml"),
        stepflow("validate", "hello.yaml", "helo.yaml", "-o", "json"),
        stepflow("validate", "list.yaml"),
        stepflow("validate", "broken.yaml"),
        stepflow("validate", "hello.yaml", "--fields", "lvel"),
        stepflow("validate", "hello.yaml", "--strickt"),
    )


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("validate", "hello.yaml", "--url", "http://127.0.0.1:9"),
        stepflow("validate", "hello.yaml", "--url", "http://127.0.0.1:9", "-o", "json"),
    )


def test_embedded_server_is_used_by_default(stepflow: Stepflow) -> None:
    done = stepflow("validate", "refused.yaml", "-o", "json")
    assert done.code == 3
    assert json.loads(done.stdout)[0]["kind"] == "undefined-step"


def test_on_a_terminal(terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    golden(
        terminal("validate", "refused.yaml"),
        terminal("validate", "refused.yaml", "grave.yaml", "clean.yaml"),
    )


_FAULTY = """\
name: faulty  # kept
description: 'it''s'
steps:
- id: first
  component: /builtin/create_messages
  input: {user_prompt: hello}
  on_error: {action: fail}
output: {$step: frist}
"""


def test_offline(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "faulty.yaml").write_text(_FAULTY)
    (stepflow.folder / "suppressed.yaml").write_text(
        _FAULTY.replace("$step: frist}", "$step: first}").replace("fail}", "fail}  # stepflow: ignore")
    )
    (stepflow.folder / "inner").mkdir()
    (stepflow.folder / "inner" / "one.yaml").write_text(_FAULTY)
    (stepflow.folder / "inner" / "notes.yaml").write_text("a: 1\n")
    (stepflow.folder / "empty").mkdir()
    forms = ("table", "json", "github", "sarif")
    golden(
        *(stepflow("validate", "--offline", "faulty.yaml", "-o", form) for form in forms),
        stepflow("validate", "--offline", "-", stdin=_FAULTY),
        stepflow("validate", "--offline", "inner"),
        stepflow("validate", "--offline", "empty"),
        stepflow("validate", "--offline", "suppressed.yaml", "hello.yaml"),
        stepflow("validate", "--offline", "faulty.yaml", "--select", "unknown-key", "--fail-on", "fatal"),
        stepflow("validate", "--offline", "faulty.yaml", "--ignore", "unknown-key,undefined-step"),
        stepflow("validate", "faulty.yaml", "--url", "http://127.0.0.1:9"),
        stepflow("validate", "--offline", "-", "--fix", stdin=_FAULTY),
        stepflow("validate", "--offline", "faulty.yaml", "--fix"),
    )
    corrected = _FAULTY.replace("on_error", "onError").replace("frist", "first")
    assert (stepflow.folder / "faulty.yaml").read_text() == corrected


def test_settings_of_a_project(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "faulty.yaml").write_text(_FAULTY)
    settings = stepflow.folder / "pyproject.toml"
    settings.write_text('[tool.stepflow.validate]\nignore = ["undefined-step"]\nfail-on = "fatal"\n')
    ignoring = stepflow("validate", "--offline", "faulty.yaml")
    settings.write_text("[tool.stepflow.validate]\nignored = []\n")
    golden(ignoring, stepflow("validate", "--offline", "faulty.yaml"))


_SHOP = """\
plugins:
  builtin: {type: builtin}
  mock:
    type: mock
    components:
      /price:
        input_schema: {type: object, properties: {sku: {type: string}}, required: [sku]}
        output_schema: {type: object, properties: {eur: {type: number}}, additionalProperties: false}
        behaviors:
          {sku: tea}: {outcome: success, result: {eur: 3}}
          {sku: gold}: {outcome: success, result: {eur: 4}}
routes:
  "/builtin": [{plugin: builtin}]
  "/shop": [{plugin: mock}]
"""
_BUYS = """\
name: buys
description: one of each fault that only components tell
steps:
- {id: misspelt, component: /shop/prise, input: {sku: tea}}
- {id: missing, component: /shop/price, input: {suk: tea}}
- {id: wrong, component: /shop/price, input: {sku: 5}}
- {id: right, component: /shop/price, input: {sku: tea}}
output: [{$step: misspelt}, {$step: missing}, {$step: wrong}, {$step: right, path: $.euro}]
"""


def test_components(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "shop.yml").write_text(_SHOP)
    (stepflow.folder / "buys.yaml").write_text(_BUYS)
    with StepflowRuntime.start(stepflow.folder / "shop.yml", log_config=LogConfig(level="error")) as server:
        listed = stepflow("list-components", "--config", "shop.yml", "-o", "json")
        (stepflow.folder / "components.json").write_text(listed.stdout)
        remote = stepflow("validate", "buys.yaml", "--url", server.url)
    golden(
        stepflow("validate", "buys.yaml", "--offline"),
        stepflow("validate", "buys.yaml", "--offline", "--components", "components.json"),
        stepflow("validate", "buys.yaml", "--config", "shop.yml"),
        remote,
        stepflow("validate", "buys.yaml", "--offline", "--components", "buys.yaml"),
    )


def test_offline_result_is_printed_if_the_server_fails(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "faulty.yaml").write_text(_FAULTY)
    (stepflow.folder / "sick.yml").write_text("plugins: {builtin: {type: nonsense}}\n")
    done = stepflow("validate", "faulty.yaml", "--config", "sick.yml")
    golden(stepflow("validate", "--offline", "faulty.yaml"))
    assert done.code == 3
    assert done.stdout == stepflow("validate", "--offline", "faulty.yaml").stdout
    assert "sick.yml" in done.stderr
    failures = stepflow("validate", "faulty.yaml", "--config", "sick.yml", "-o", "json").stderr.splitlines()
    assert [json.loads(line)["kind"] for line in failures] == ["server_start", "invalid_flow"]
    lost = stepflow("validate", "faulty.yaml", "--url", "http://127.0.0.1:9", "-o", "json").stderr.splitlines()
    assert [json.loads(line)["server"] for line in lost] == ["http://127.0.0.1:9"] * 2


def test_file_that_is_not_utf_8_is_invalid_and_unchanged(stepflow: Stepflow) -> None:
    content = b"ouput: 1\noutput: caf\xe9\n"
    (stepflow.folder / "latin.yaml").write_bytes(content)
    done = stepflow("validate", "--offline", "latin.yaml", "--fix")
    assert done.code == 3
    assert "latin.yaml:2:12: fatal: is not UTF-8 text (byte 20) [syntax]" in done.stdout
    assert (stepflow.folder / "latin.yaml").read_bytes() == content


def test_corrections_keep_bom_line_ends_links_and_mode(stepflow: Stepflow) -> None:
    text = "\ufeffname: f # kept\r\ndescription: 'd'\r\nlabel: x\r\nouput: {$form: {$input: $}}\r\n"
    (stepflow.folder / "real.yaml").write_bytes(text.encode())
    (stepflow.folder / "link.yaml").symlink_to("real.yaml")
    (stepflow.folder / "real.yaml").chmod(0o640)
    done = stepflow("validate", "--offline", "link.yaml", "--fix")
    # '$form' is not corrected, because the intended expression is unclear.
    assert done.code == 3
    assert "link.yaml: 1 correction, 2 findings left\n" in done.stderr
    assert (stepflow.folder / "real.yaml").read_bytes() == text.replace("ouput", "output").encode()
    assert (stepflow.folder / "link.yaml").is_symlink()
    assert (stepflow.folder / "real.yaml").stat().st_mode & 0o777 == 0o640
    again = stepflow("validate", "--offline", "link.yaml", "--fix")
    assert "link.yaml: 0 corrections, 2 findings left\n" in again.stderr


def test_target_ignores_errors_of_other_releases(stepflow: Stepflow) -> None:
    (stepflow.folder / "old.yaml").write_text("name: f\ndescription: d\nsteps: null\noutput: 1\n")
    codes = [stepflow("validate", "--offline", "old.yaml", "--target", each).code for each in ("0.10", "0.13.0")]
    assert codes == [3, 0]
    done = stepflow("validate", "--offline", "old.yaml", "--target", "newest")
    assert done.code == 2
    assert "target must be a release" in done.stderr


def test_target_is_a_setting(stepflow: Stepflow) -> None:
    (stepflow.folder / "old.yaml").write_text("name: f\ndescription: d\nsteps: null\noutput: 1\n")

    def code(*flags: str, **environment: str) -> int:
        return stepflow("validate", "--offline", "old.yaml", "--strict", *flags, **environment).code

    assert (code(), code(STEPFLOW_TARGET="0.13"), code(STEPFLOW_TARGET="0.10")) == (3, 0, 3)
    assert stepflow("config", "set", "target", "0.13").code == 0
    assert stepflow("config", "get", "target").stdout == "0.13\n"
    # The order of precedence is: options, environment, project, user.
    assert (code(), code(STEPFLOW_TARGET="0.10"), code("--target", "0.12", STEPFLOW_TARGET="0.10")) == (0, 3, 0)
    (stepflow.folder / "stepflow.toml").write_text('target = "0.10"\n')
    assert (code(), code(STEPFLOW_TARGET="0.13")) == (3, 0)
    assert stepflow("run", "old.yaml", "--url", "http://127.0.0.1:9").code == 3
    assert stepflow("run", "old.yaml", "--url", "http://127.0.0.1:9", STEPFLOW_TARGET="0.13").code == 4
    (stepflow.folder / "stepflow.toml").unlink()
    assert stepflow("config", "unset", "target").code == 0
    assert code() == 3


def test_invalid_target_is_refused_with_its_origin(stepflow: Stepflow) -> None:
    (stepflow.folder / "f.yaml").write_text("output: 1\n")
    refused = stepflow("config", "set", "target", "newest")
    assert (refused.code, "target must be a release from 0.10 to 0.13, not 'newest'" in refused.stderr) == (2, True)
    refused = stepflow("validate", "--offline", "f.yaml", STEPFLOW_TARGET="newest")
    assert (refused.code, "STEPFLOW_TARGET: target must be a release" in refused.stderr) == (2, True)
    for unknown in ("1.0", "0.8", "0.14"):
        refused = stepflow("validate", "--offline", "f.yaml", "--target", unknown)
        assert refused.code == 2
        assert f"--target: target must be a release from 0.10 to 0.13, not '{unknown}'" in refused.stderr
    (stepflow.folder / "stepflow.toml").write_text("target = 0.13\n")
    refused = stepflow("validate", "--offline", "f.yaml")
    assert (refused.code, "stepflow.toml: target must be a release" in refused.stderr) == (2, True)


_ALWAYS = """\
name: log
description: A step that always runs
steps:
  - id: log
    component: /builtin/noop
    mustExecute: true
  - id: lost  # stepflow: ignore[unused-step]
    component: /builtin/noop
output: 1
"""


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("file", ["always.yaml", "always.json"])
def test_unreachable_steps_are_only_reported_by_the_offline_checks(stepflow: Stepflow, file: str) -> None:
    text = _ALWAYS if file.endswith(".yaml") else json.dumps(yaml.safe_load(_ALWAYS), indent=1)
    (stepflow.folder / file).write_text(text)
    records = json.loads(stepflow("validate", file, "-o", "json").stdout)
    # JSON has no comments.
    assert [each["kind"] for each in records] == ([] if file == "always.yaml" else ["unused-step"])


@pytest.mark.usefixtures("server")
def test_comments_suppress_diagnostics_of_the_server(stepflow: Stepflow) -> None:
    text = "description: d\nsteps: []\noutput: 1\n"
    (stepflow.folder / "nameless.yaml").write_text(text)
    assert "missingFlowName" in stepflow("validate", "nameless.yaml").stdout
    (stepflow.folder / "nameless.yaml").write_text(f"# stepflow: ignore[missingFlowName]\n{text}")
    assert "missingFlowName" not in stepflow("validate", "nameless.yaml").stdout
