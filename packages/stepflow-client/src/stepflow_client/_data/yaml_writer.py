"""Writes JSON values as YAML that Stepflow's parser, and the one of this package, read back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from .yaml_reader import plain_scalar_resolvers


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper. A text is quoted if either PyYAML or Stepflow would parse it as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True, so that a value that occurs twice is written twice."""
        return True


_Dumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),
        *plain_scalar_resolvers().get(first, ()),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *plain_scalar_resolvers()}
}


def write_yaml(value: Any) -> str:
    """Return a value as a YAML document in block style. Keys keep their order, and lines are not folded."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1)
    return text.removesuffix("...\n") if text.endswith("\n...\n") else text
