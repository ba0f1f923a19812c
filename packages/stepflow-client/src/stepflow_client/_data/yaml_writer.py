"""Writes JSON values as YAML that Stepflow's parser, and the one of this package, read back as the same values."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .yaml_reader import scalar_resolvers

# Line separators and bidirectional controls: YAML allows them, but they change what people read.
_UNSAFE = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's dumper. A text is quoted if either PyYAML or Stepflow would parse it as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True, so that a value that occurs twice is written twice."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    if not text.isascii():
        # UTF-8 has no halves of surrogate pairs.
        text = text.encode("utf-8", "backslashreplace").decode()
    # Escapes are valid only in double quotes.
    style = '"' if _UNSAFE.search(text) else None
    node: yaml.Node = dumper.represent_scalar("tag:yaml.org,2002:str", text, style)
    return node


_Dumper.add_representer(str, _represent_text)
_Dumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),
        *scalar_resolvers().get(first, ()),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *scalar_resolvers()}
}


def write_yaml(value: Any) -> str:
    """Return a value as a YAML document in block style. Keys keep their order, and lines are not folded."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1)
    text = text.removesuffix("...\n") if text.endswith("\n...\n") else text
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
