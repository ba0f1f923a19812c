"""Generate docs/cli.md: python scripts/write_cli_page.py [--output FILE]

The page consists of scripts/pages/cli.md and every command's help. Options and paragraphs shared by several commands
are shown only once.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from stepflow_cli.main import COMMAND_SECTIONS, cli
from stepflow_cli.params.click_commands import get_full_help

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
NOTES = ROOT / "scripts" / "pages" / "cli.md"
WIDTH = 100
SHARED_BY = 8
"""Show options and paragraphs in the shared section if at least this many commands have them.

Otherwise, an option is shown with its first command, and a paragraph with every command.
"""
EVERYWHERE = ("Messages", "Help")
"""The sections for options that every command has."""


class Entry(NamedTuple):
    """An option in a help text."""

    section: str
    names: str
    help: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PAGE, help="where to write it instead of docs/cli.md")
    options = parser.parse_args()
    options.output.write_text(page())


def page() -> str:
    """Return the page's text."""
    return "\n".join([NOTES.read_text(), *help_texts(dict(walk("stepflow", cli)))])


def walk(path: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """Yield a command and all its subcommands, along with what people type."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **settings)
    yield path, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(f"{path} {name}", below, context)


def help_texts(commands: dict[str, click.Context]) -> Iterator[str]:
    """Yield the options many commands share, then each command's section with its own options."""
    options = {path: list(options_of(context)) for path, context in commands.items() if is_listed(context)}
    variants: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for section, names, text in (each for found in options.values() for each in found):
        variants[section, names][text] += 1
    common = [(*names, *texts.most_common(1)[0]) for names, texts in variants.items()]
    shared = [Entry(*each) for *each, count in common if count >= SHARED_BY]
    root = commands["stepflow"]
    heads = {path: head(commands[path]).split("\n\n") for path in options}
    repeats = Counter(paragraph.strip() for paragraphs in heads.values() for paragraph in paragraphs)
    repeated = [paragraph for paragraph, count in repeats.items() if count >= SHARED_BY]
    yield "## Shared options\n"
    yield "All commands except groups have the options under Messages and Help.\n"
    yield f"```text\n{options_text(root, shared)}```\n"
    yield from (f"{' '.join(paragraph.split())}\n" for paragraph in repeated)
    homes: dict[Entry, str] = {}
    titles = {name: title for title, names in COMMAND_SECTIONS.items() for name in names}
    # `stepflow` itself comes first, and commands not listed in its help come last.
    groups = {path: titles.get(path.split()[1], "Other commands") if " " in path else "Overview" for path in options}
    order = ["Overview", *COMMAND_SECTIONS, "Other commands"]
    title = ""
    for path, entries in sorted(options.items(), key=lambda each: order.index(groups[each[0]])):
        if groups[path] != title:
            title = groups[path]
            yield f"## {title}\n"
        own = [each for each in entries if each not in shared and homes.setdefault(each, path) == path]
        description = "\n\n".join(each for each in heads[path] if each.strip() not in repeated).rstrip("\n") + "\n"
        parts = [description, options_text(commands[path], own)]
        yield "\n".join([f"### {path}\n\n```text", *filter(None, parts)]) + "```\n"
        others: dict[str, list[str]] = defaultdict(list)
        for each in entries:
            if each not in own and each.section not in EVERYWHERE:
                home = homes.get(each)
                link = f"[{home}](#{home.replace(' ', '-')})" if home else "[shared](#shared-options)"
                others[link].append(f"`{re.split('[, ]', each.names)[0]}`")
        if others:
            yield "Also " + "; ".join(f"{', '.join(names)} ({link})" for link, names in others.items()) + ".\n"


def options_of(context: click.Context) -> Iterator[Entry]:
    """Yield a command's options as shown in its full help."""
    for param in context.command.get_params(context):
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is not None:
            section = "Help" if "help" in record[0] else getattr(param, "section", "Options")
            yield Entry(section, *record)


def head(context: click.Context) -> str:
    """Return what a command's help prints before its options, including the commands for `stepflow`."""
    get_full_help(context)  # # switches the context to the full help
    formatter, command = context.make_formatter(), context.command
    command.format_usage(context, formatter)
    command.format_help_text(context, formatter)
    if isinstance(command, click.Group):
        if context.parent is None:
            command.format_commands(context, formatter)
        else:  # # its commands' sections already have the examples
            return re.sub(r"\nExamples:\n(?:  .*\n)+", "", formatter.getvalue())
    return formatter.getvalue()


def options_text(context: click.Context, entries: list[Entry]) -> str:
    """Return options under their section headings."""
    formatter = context.make_formatter()
    for section in dict.fromkeys(each.section for each in entries):
        with formatter.section(section):
            formatter.write_dl([each[1:] for each in entries if each.section == section])
    return formatter.getvalue()


def is_listed(context: click.Context) -> bool:
    """Return whether the page has a section for a command."""
    return context.command.name not in ("help", "list-components", "version")


if __name__ == "__main__":
    main()
