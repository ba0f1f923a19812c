"""The public surface matches the snapshots in tests/surface, and clients and command offer every operation.

`.venv/bin/python scripts/public_surface.py --rewrite` rewrites the snapshots.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest
import yaml
from stepflow_cli.main import cli
from stepflow_client import StepflowClient, SyncStepflowClient

from openapi import comparison
from scripts import public_surface
from scripts.generate_api import SPEC

METHODS = {"get_run_events": "run_events"}
"""Client methods that are not named after their operation."""
COMMANDS = {
    "health_check": "health",
    "list_components": "list-components",
    "store_flow": "flows store",
    "get_flow": "flows get",
    "delete_flow": "flows delete",
    "get_flow_variables": "flows get --variables",
    "create_run": "submit",
    "list_runs": "runs list",
    "get_run": "runs get",
    "delete_run": "runs delete",
    "cancel_run": "runs cancel",
    "get_run_items": "runs items",
    "get_run_steps": "runs steps",
    "get_run_step": "runs steps --step",
    "get_run_flow": "runs flow",
    "get_run_events": "runs events",
    "store_blob": "blobs put",
    "get_blob": "blobs get",
}
"""The command for each operation, with a flag if the operation needs one."""


def operations(spec: Path) -> list[str]:
    return [each.name for each in comparison.operations(yaml.safe_load(spec.read_text("utf-8")))]


def exists(path: str) -> bool:
    """Return whether a command exists, and its flag if one is given."""
    words, _, flag = path.partition(" --")
    command: click.Command = cli
    for word in words.split():
        assert isinstance(command, click.Group)
        subcommand = command.get_command(click.Context(command), word)
        if subcommand is None:
            return False
        command = subcommand
    return not flag or any(f"--{flag}" in parameter.opts for parameter in command.params)


def list_missing_offers(spec: Path) -> list[str]:
    """List what each operation of a description lacks, and how to fix it."""
    missing: list[str] = []
    for operation in operations(spec):
        method = METHODS.get(operation, operation)
        if not hasattr(StepflowClient, method):
            missing.append(f"{operation}: StepflowClient has no method {method}; add it to _async/client.py")
        if not hasattr(SyncStepflowClient, method):
            missing.append(f"{operation}: SyncStepflowClient has no method {method}; run `make generate`")
        if operation not in COMMANDS or not exists(COMMANDS[operation]):
            missing.append(f"{operation}: no command offers it; add one to commands/ and name it in COMMANDS")
    return missing


@pytest.mark.parametrize("name", sorted(public_surface.SURFACES))
def test_the_public_surface_matches_its_snapshot(name: str) -> None:
    if message := public_surface.differences(name, public_surface.SURFACES[name]()):
        pytest.fail(message, pytrace=False)


def test_both_clients_and_the_command_offer_every_operation() -> None:
    if missing := list_missing_offers(SPEC):
        pytest.fail("\n".join(missing), pytrace=False)


IS_A_QUESTION = re.compile(r"^(is|was|has)_")
OTHER_NAMES = {
    "terminated": "the name of the field in the output of /builtin/iterate",
    "inferred": "the name of the field of events, also in `-o json` and in relayed events",
    "lower_is_better": "users set this attribute on their score functions too; it reads as a statement",
    "needs_duration": "a setting of a score, like an option",
    "valid": "the name that `ValidationResult` had in the earlier packages",
}
"""Public bools with another kind of name, with the reason."""
OPTIONS = {"Keep", "LogConfig", "ResultCache", "drawing.Drawing"}
"""Classes whose bools are settings, like arguments."""


def test_bools_are_named_as_questions() -> None:
    matches = [re.match(r"(?:class )?([\w.]+)\.(\w+): bool\b", line) for line in public_surface.client_lines()]
    bools = {
        (each[1], each[2]) for each in matches if each is not None and not each[1].endswith(("Options", "Filters"))
    }
    assert len(bools) > 30
    wrong = {name for owner, name in bools if owner not in OPTIONS and not IS_A_QUESTION.match(name)}
    assert wrong == OTHER_NAMES.keys()


def test_nothing_public_is_removed_without_a_deprecation() -> None:
    if message := public_surface.undeprecated():
        pytest.fail(message, pytrace=False)


OLD = '''
from typing_extensions import deprecated

__all__ = ["History", "forget", "keep", "old"]

class History:
    """A history."""

    days: int = 3

    @deprecated("use get")
    def find(self, name: str) -> None:
        """Find."""

    def get(self, name: str, limit: int = 3, *, order: str = "up") -> None:
        """Return a run.

        Args:
            name: The name.
            limit: Deprecated: nothing needs it.
            order: The order.
        """

@deprecated("use keep")
def forget() -> None: ...

def keep(what: tuple[int, str] = (1, "a")) -> None: ...

def old() -> None: ...
'''


def surface_of(folder: Path, text: str) -> list[str]:
    """Return the surface lines of a package with one public module."""
    home = folder / "stepflow_client"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("__all__ = []\n", "utf-8")
    for name in public_surface.PUBLIC_MODULES:
        (home / f"{name}.py").write_text(text if name == "history" else "__all__ = []\n", "utf-8")
    return public_surface.client_lines(folder)


def test_removals_require_a_deprecation_in_the_last_release(tmp_path: Path) -> None:
    released = surface_of(tmp_path / "released", OLD)
    assert public_surface.removals(released, released) == []
    assert public_surface.removals([], released) == []

    # Deprecated names and arguments may be removed.
    without = OLD.replace(
        '    @deprecated("use get")\n    def find(self, name: str) -> None:\n        """Find."""\n', ""
    )
    without = without.replace(" limit: int = 3,", "").replace(
        '@deprecated("use keep")\ndef forget() -> None: ...\n', ""
    )
    without = without.replace('"forget", ', "").replace("            limit: Deprecated: nothing needs it.\n", "")
    now = surface_of(tmp_path / "now", without)
    assert len(now) == len(released) - 2
    assert public_surface.removals(released, now) == []

    # If the release did not deprecate them, the same removals are rejected.
    undeprecated = (
        OLD.replace('@deprecated("use get")', "").replace('@deprecated("use keep")', "").replace("Deprecated: ", "")
    )
    removed = public_surface.removals(surface_of(tmp_path / "undeprecated", undeprecated), now)
    assert removed == ["history.History.find", "history.History.get(limit=)", "history.forget"]

    # Removing anything else is refused too: an argument, an attribute, a function.
    less = without.replace(', *, order: str = "up"', "").replace("    days: int = 3\n", "")
    less = less.replace("def old() -> None: ...\n", "").replace(', "old"', "")
    removed = public_surface.removals(released, surface_of(tmp_path / "less", less))
    assert removed == ["history.History.days", "history.History.get(order=)", "history.old"]


def test_a_changed_signature_is_reported(tmp_path: Path) -> None:
    sources = Path(shutil.copytree(public_surface.SOURCES, tmp_path / "src"))
    changed = sources / "stepflow_client" / "runtime.py"
    text = changed.read_text("utf-8")
    assert "startup_timeout: float" in text
    changed.write_text(text.replace("startup_timeout: float", "ready_within: float"), "utf-8")
    message = public_surface.differences("client.txt", public_surface.client_lines(sources))
    assert "- StepflowRuntime.start(" in message
    assert "+ StepflowRuntime.start(" in message
    assert "programs that use these names stop working" in message
    assert "--rewrite" in message


def test_a_removed_flag_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(cli, click.Group)
    health = cli.get_command(click.Context(cli), "health")
    assert health is not None
    monkeypatch.setattr(health, "params", [each for each in health.params if "--url" not in each.opts])
    message = public_surface.differences("command.txt", public_surface.command_lines())
    assert "- stepflow health --url text" in message
    assert "scripts that use these flags stop working" in message


def write_changed_spec(tmp_path: Path, before: str, after: str) -> Path:
    text = SPEC.read_text("utf-8")
    assert before in text
    spec = tmp_path / "stepflow.yaml"
    spec.write_text(text.replace(before, after), "utf-8")
    return spec


def test_an_operation_without_method_and_command_is_reported(tmp_path: Path) -> None:
    spec = write_changed_spec(tmp_path, "operationId: cancel_run", "operationId: pause_run")
    assert [line for line in list_missing_offers(spec) if line.startswith("pause_run")] == [
        "pause_run: StepflowClient has no method pause_run; add it to _async/client.py",
        "pause_run: SyncStepflowClient has no method pause_run; run `make generate`",
        "pause_run: no command offers it; add one to commands/ and name it in COMMANDS",
    ]
