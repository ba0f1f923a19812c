"""Writes JSON values as YAML that Stepflow's readers, and ours, read back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from .yaml_reader import plain_scalar_resolvers

__all__ = ["write_yaml"]


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper; a text is quoted where either PyYAML or Stepflow would read something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that stands in two places twice."""
        return True


_Dumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),
        *plain_scalar_resolvers().get(first, ()),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *plain_scalar_resolvers()}
}


def write_yaml(value: Any) -> str:
    """Return a value as a YAML document in block style, keys in their order, lines not folded."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1)
    return text.removesuffix("...\n") if text.endswith("\n...\n") else text
