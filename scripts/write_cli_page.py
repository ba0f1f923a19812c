"""Write docs/cli.md: python scripts/write_cli_page.py [--output FILE]

The page consists of scripts/pages/cli.md, the help of every command, and the table of scripts/pages/cli.upstream.toml.
Options that many commands share are shown once. It is an error if a counterpart in that table does not exist.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from stepflow_cli.main import cli
from stepflow_cli.params.parsing import LazyGroup, whole_help

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
NOTES, UPSTREAM = (ROOT / "scripts" / "pages" / name for name in ("cli.md", "cli.upstream.toml"))
WIDTH = 100
SHARED_BY = 20
"""The number of commands from which a section of options is shown once."""

Upstream = dict[str, dict[str, dict[str, Any]]]
"""The replacement for each flag of a command: `ours` and `why`."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PAGE, help="where to write it instead of docs/cli.md")
    options = parser.parse_args()
    text, unknown = page(tomllib.loads(UPSTREAM.read_text()))
    for counterpart in unknown:
        print(f"{UPSTREAM.name} names {counterpart!r}, which does not exist", file=sys.stderr)
    if unknown:
        return 1
    options.output.write_text(text)
    return 0


def page(upstream: Upstream) -> tuple[str, list[str]]:
    """Return the page, and the counterparts of upstream's flags that do not exist."""
    commands = dict(walk("stepflow", cli))
    table, unknown = counterparts(upstream, commands)
    return "\n".join([NOTES.read_text(), *help_texts(commands), *table]) + "\n", unknown


def walk(path: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """Yield a command and all commands below it, by what people type."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **settings)
    yield path, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(f"{path} {name}", below, context)


def help_texts(commands: dict[str, click.Context]) -> Iterator[str]:
    """Yield the sections of options that many commands share, and the section of every command."""
    helps = {path: whole_help(context).split("\n\n") for path, context in commands.items() if is_listed(context)}
    counted = Counter(part for parts in helps.values() for part in parts)
    shared = [part for part, count in counted.items() if count >= SHARED_BY]
    yield f"## Shared options\n\nMany commands have these:\n\n{_text(shared)}\n"
    yield "## Commands\n"
    for path, parts in helps.items():
        yield f"### {path}\n\n{_text([part for part in parts if part not in shared])}\n"
        titles = [part.partition(":")[0] for part in parts if part in shared]
        if named := [title for title in titles if title != "Options"]:  # that is --help
            yield f"[Shared options](#shared-options): {', '.join(named)}.\n"


def is_listed(context: click.Context) -> bool:
    """Return whether the help of the group above lists a command."""
    group = None if context.parent is None else context.parent.command
    return not isinstance(group, LazyGroup) or context.command.name in group.listed


def _text(parts: list[str]) -> str:
    return "```text\n" + "\n\n".join(parts) + "\n```"


def counterparts(upstream: Upstream, commands: dict[str, click.Context]) -> tuple[list[str], list[str]]:
    """Return the lines of the table of upstream's flags, and the counterparts that do not exist."""
    lines = [
        "## Coming from the upstream command\n",
        "Flags that are not listed are the same.\n",
        "| upstream | flag | here | what differs |",
        "|---|---|---|---|",
    ]
    unknown: list[str] = []
    for command, flags in upstream.items():
        for flag, entry in flags.items():
            ours = entry.get("ours")
            if ours is not None and not exists(ours, commands):
                unknown.append(ours)
            if ours != f"{command} {flag}" or "why" in entry:
                here = f"`{ours}`" if ours else "no"
                lines.append(f"| {command} | `{flag}` | {here} | {entry.get('why', '')} |")
    return lines, unknown


def exists(ours: str, commands: dict[str, click.Context]) -> bool:
    """Return whether a command has a flag."""
    command, _, flag = f"stepflow {ours}".rpartition(" ")
    context = commands.get(command)
    if context is None:
        return False
    params = context.command.get_params(context)
    return any(flag in (*each.opts, *each.secondary_opts, each.make_metavar(context)) for each in params)


if __name__ == "__main__":
    sys.exit(main())
