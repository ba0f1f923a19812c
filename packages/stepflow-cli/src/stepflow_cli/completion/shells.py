"""Completion in the supported shells, based on click's, with items of type `part`, after which no space is added."""

from __future__ import annotations

import re
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

__all__ = ["SHELLS", "VARIABLE", "register"]

VARIABLE = "_STEPFLOW_COMPLETE"
"""The environment variable that the shell sets when it calls the command to complete."""

_BASH = """\
%(complete_func)s() {
    local response type value
    local IFS=$'\\n'
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            part) COMPREPLY+=("$value"); compopt -o nospace 2>/dev/null ;;
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
        esac
    done <<< "$response"
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described parts response
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for type key descr in ${response}; do
        case $type in
            plain) if [[ $descr == _ ]]; then plain+=("$key"); else described+=("$key":"$descr"); fi ;;
            part) parts+=("$key") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#parts )) && compadd -U -V unsorted -S '' -a parts
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


_FISH = """\
function %(complete_func)s
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \\
        COMP_CWORD=(commandline -t | string collect) %(prog_name)s 2>/dev/null)
    for completion in $response
        set -l item (string split -m 1 "," $completion)
        switch $item[1]
            case dir
                __fish_complete_directories $item[2]
            case file
                __fish_complete_path $item[2]
            case plain
                echo $item[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    source_template = _BASH

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
    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item in the form that the script reads; an item of type `part` has no description."""
        if item.type == "part":
            return f"part\n{item.value}\n_"
        return super().format_completion(item)


class _Fish(FishComplete):
    source_template = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item in the form that the script reads; fish itself recognises partial words."""
        if item.type == "part":
            item = CompletionItem(item.value, help=item.help)
        return super().format_completion(item)


SHELLS: dict[str, Any] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}
"""The supported shells by name."""


def register() -> None:
    """Register these shells with click."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)
