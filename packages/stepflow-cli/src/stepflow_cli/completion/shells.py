"""Completion in the supported shells, based on click's, with items of type `part`, after which no space is added."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

VARIABLE = "_STEPFLOW_COMPLETE"
"""The environment variable that the shell sets when it calls the command to complete."""


def _replace_texts(template: str, changes: Mapping[str, str]) -> str:
    """Return a script of click in which texts are replaced."""
    for old, new in changes.items():
        template = template.replace(old, new)
    return template


class _Bash(BashComplete):
    source_template = _replace_texts(
        BashComplete.source_template,
        {
            "read type value": "read -r type value",
            "        elif [[ $type == 'plain' ]]": "        elif [[ $type == 'part' ]]; then\n"
            "            COMPREPLY+=($value)\n            compopt -o nospace 2>/dev/null\n"
            "        elif [[ $type == 'plain' ]]",
            # bash 3 and 4.3, as on macOS, sort what is offered.
            "complete -o nosort -F %(complete_func)s %(prog_name)s": "complete -o nosort -F %(complete_func)s "
            "%(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s",
        },
    )

    def source(self) -> str:
        """Return the script. The local bash version is not checked, because the script may be for another one."""
        return ShellComplete.source(self)

    _is_behind_at = False

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words and the word to complete; bash splits `@la` into the two words `@` and `la`."""
        args, incomplete = super().get_completion_args()
        self._is_behind_at = bool(args) and args[-1] == "@"
        return (args[:-1], f"@{incomplete}") if self._is_behind_at else (args, incomplete)

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item in the form that the script reads. Bash inserts it unchanged, so it must be quoted."""
        if self._is_behind_at and item.value.startswith("@"):
            item = CompletionItem(item.value[1:], type=item.type)
        # The colon and the equals sign are not quoted: bash itself treats them as word ends.
        quoted = re.sub(r"([^\w@%+=:,./~-])", r"\\\1", item.value)
        return f"{item.type},{quoted}"


class _Zsh(ZshComplete):
    source_template = _replace_texts(
        ZshComplete.source_template,
        {
            '        elif [[ "$type" == "dir" ]]': '        elif [[ "$type" == "part" ]]; then\n'
            '            compadd -U -V unsorted -S \'\' -- "$key"\n        elif [[ "$type" == "dir" ]]'
        },
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item in the form that the script reads; an item of type `part` has no description."""
        if item.type == "part":
            return f"part\n{item.value}\n_"
        return super().format_completion(item)


class _Fish(FishComplete):
    # A list of fields has commas, and a word with a quote that is still open is one word.
    source_template = _replace_texts(
        FishComplete.source_template,
        {
            'split ","': 'split -m 1 ","',
            "(commandline -cp)": "(commandline -cp | string collect)",
            "(commandline -t)": "(commandline -t | string collect)",
        },
    )

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item in the form that the script reads; fish itself recognises partial words."""
        if item.type == "part":
            item = CompletionItem(item.value, help=item.help)
        return super().format_completion(item)


SHELLS: dict[str, Any] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
"""The supported shells by name."""


def register_shells() -> None:
    """Register these shells with click, and print no messages: they would be in the middle of the line being typed."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
