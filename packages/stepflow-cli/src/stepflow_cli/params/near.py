"""Suggestions for misspelt or misplaced commands, from any group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

__all__ = ["nearest_command"]


def nearest_command(word: str, ctx: click.Context) -> str | None:
    """Return the hint for an unknown command: `did you mean ...?`, or None if nothing is near.

    A command of the same group is given as one word, a command of another group as it is typed.

    Args:
        word: The word that was typed.
        ctx: The context of the group in which it was not found.
    """
    from difflib import SequenceMatcher

    here = ctx.command_path
    found: dict[str, tuple[bool, bool, bool, float]] = {}
    for group, path in _groups(ctx.find_root()):
        for name in (*group.summaries, *group.aliases):
            likeness = SequenceMatcher(None, word.lower(), name).ratio()
            if likeness >= 0.6:
                # The same word in another group first, then words of this group, then those with the same first letter.
                rank = likeness >= 0.9, path == here, name[:1] == word[:1], round(likeness, 1)
                command = group.aliases.get(name, name)
                full = command if path == here else f"{path} {command}".strip()
                found[full] = max(found.get(full, rank), rank)
    ranked = sorted(found, key=lambda each: found[each], reverse=True)
    if not ranked:
        return None
    # Several groups may have the same word, for example `list`.
    best = [each for each in ranked if found[each] == found[ranked[0]]][:3]
    return f"did you mean {' or '.join(best)}?"


def _groups(root: click.Context) -> Iterator[tuple[Any, str]]:
    """Return each group with the words typed to reach it. Only the groups are imported, not their commands."""
    command: Any = root.command
    yield command, root.command_path
    for name in command.groups:
        yield command.get_command(root, name), f"{root.command_path} {name}".strip()
