"""Explanations of configuration errors, from reasons that servers reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client._embedded.config import ServerConfig, build_rejection_error

_CREATE = "Failed to create executor: Failed to create service from configuration: Configuration error: "
_PARSE = "Failed to load configuration: Configuration error: Failed to parse config YAML: "
_BUILTIN = "plugins: {builtin: {type: builtin}}\n"
_ROUTES = "routes: {/builtin: [{plugin: builtin}]}\n"


@pytest.mark.parametrize(
    ("text", "reason", "line", "message", "hint"),
    [
        (
            "plugins: {builtin: {type: bulitin}}\n",
            f"{_PARSE}plugins.builtin: unknown variant `bulitin`, expected one of `builtin`, `mcp` at line 1 column 20",
            1,
            "plugins.builtin has the unknown type 'bulitin'",
            "did you mean 'builtin'?",
        ),
        (
            f"{_BUILTIN}routes: {{/builtin: [{{plugin: bulitin}}]}}\n",
            f"{_CREATE}plugin not found: bulitin",
            2,
            "route /builtin refers to the plugin 'bulitin', which does not exist",
            "did you mean 'builtin'?",
        ),
        (
            f"{_BUILTIN}{_ROUTES}storageConfig: {{type: sqllite}}\n",
            f"{_PARSE}data did not match any variant of untagged enum StorageConfig",
            3,
            "storageConfig has the unknown type 'sqllite'",
            "did you mean 'sqlite'?",
        ),
        (
            f"{_BUILTIN}{_ROUTES}storageConfig: {{type: sqlite}}\n",
            f"{_PARSE}data did not match any variant of untagged enum StorageConfig",
            3,
            "storageConfig requires databaseUrl",
            "such as databaseUrl: sqlite:runs.db?mode=rwc",
        ),
        (
            "plugins:\n  shop: {type: grpc, queueName: q, command: pyhton}\n",
            f"{_CREATE}error initializing plugin: error executing component: Failed to spawn gRPC worker: pyhton: "
            "No such file or directory (os error 2)",
            2,
            "plugins.shop cannot start 'pyhton': program not found",
            "command is a program on PATH, or a path relative to the configuration",
        ),
        (
            "plugins:\n  shop: {type: grpc, queuName: q, command: python}\n",
            f"{_CREATE}Failed to instantiate plugin for 'shop': error initializing plugin: queueName is required for "
            "gRPC plugins",
            2,
            "plugins.shop requires queueName",
            "write queueName instead of queuName",
        ),
        (
            "plugin: {}\n",
            f"{_PARSE}missing field `plugins`",
            1,
            "the configuration requires plugins",
            "write plugins instead of plugin",
        ),
        (
            f"{_BUILTIN}recovery: {{checkIntervalSecs: x}}\n",
            f'{_PARSE}recovery.checkIntervalSecs: invalid type: string "x", expected u64 at line 2 column 31',
            2,
            "recovery.checkIntervalSecs must be a whole number",
            None,
        ),
        (
            "plugins:\n  mock: {type: mok, components: {/a: {behaviors: {{sku: tea}: 1}}}}\n",
            f"{_PARSE}plugins.mock: unknown variant `mok`, expected one of `builtin`, `mock` at line 2 column 9",
            2,
            "plugins.mock has the unknown type 'mok'",
            "did you mean 'mock'?",
        ),
        ("- a\n", f"{_PARSE}invalid type: sequence, expected struct StepflowConfig", 1,
         "the configuration must be a mapping", None),
    ],
)  # fmt: skip
def test_the_explanation_names_the_line(
    text: str, reason: str, line: int, message: str, hint: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    fault = build_rejection_error(reason, ServerConfig(path=path))
    assert fault is not None
    assert (fault.message, fault.hint, fault.line) == (f"{path}:{line}: {message}", hint, line)


def test_a_file_that_is_not_yaml_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("plugins: [\n")
    fault = build_rejection_error(
        f"{_PARSE}plugins: invalid type: sequence, expected a map at line 1 column 10", ServerConfig(path)
    )
    assert fault is not None
    assert "is not YAML: this [ is not closed (line 1, column 10)" in fault.message
    assert build_rejection_error("the address is in use", ServerConfig(path)) is None


def test_a_configuration_without_a_file_is_explained() -> None:
    config = ServerConfig(document={"plugins": {"builtin": {"type": "bulitin"}}})
    fault = build_rejection_error(
        f"{_PARSE}plugins.builtin: unknown variant `bulitin`, expected one of `builtin`", config
    )
    assert fault is not None
    assert fault.message == "the configuration: plugins.builtin has the unknown type 'bulitin'"


@pytest.mark.parametrize(
    "reason", ["", "Address already in use", f"{_PARSE}invalid type: map, expected a sequence", f"{_CREATE}no store"]
)
def test_other_reasons_are_not_explained(reason: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(f"{_BUILTIN}{_ROUTES}")
    assert build_rejection_error(reason, ServerConfig(path=path)) is None
