"""The variants that a command line names, as `--variant` has them.

    now                           the flow as it is
    formal:tone=formal            a variable
    short:reply.input.max=50      a value of a step, as for --set
    v2=ticket_v2.yaml             another flow

Words with the same name add to one variant.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import Problem, usage
from ..inputs.flow import load_flow_or_id
from ..inputs.values import ValueArgument, Values

if TYPE_CHECKING:
    from stepflow_client.evaluation import Variant

_NAME = re.compile(r"\w[\w.\- ]*")
_FORMS = "NAME, NAME:VARIABLE=VALUE, NAME:STEP.input.KEY=VALUE or NAME=FLOW"


@dataclass
class _VariantWords:
    """The words of one variant."""

    flow: str | None = None
    variables: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)


def read_variants(words: Iterable[str], flow: Mapping[str, Any]) -> dict[str, Variant] | None:
    """Return the variants by name, in the order in which they are named first; None if there are none.

    Args:
        words: The values of `--variant`.
        flow: The flow that they vary.

    Raises:
        Problem: If a word has another form, or if its flow, variable or step is invalid.
        FlowFileError: If the file of a flow cannot be read.
    """
    from stepflow_client._command import merge_overrides
    from stepflow_client.evaluation import Variant

    variants = {}
    for name, parts in _parse_words(words).items():
        own_flow = None if parts.flow is None else _load_variant_flow(name, parts.flow)
        varied = flow if own_flow is None else own_flow
        values = Values(
            single_variables=parts.variables,
            overrides=[ValueArgument(f"--variant {name}", "set", override) for override in parts.overrides],
        )
        overrides = merge_overrides(values.read_overrides(varied))
        variants[name] = Variant(flow=own_flow, variables=values.read_variables(varied), overrides=overrides)
    return variants or None


def list_flow_files(words: Iterable[str], flow: str) -> dict[str, str]:
    """Return the flow of each variant as the command line names it, by the name of the variant."""
    return {name: parts.flow or flow for name, parts in _parse_words(words).items()}


def _parse_words(words: Iterable[str]) -> dict[str, _VariantWords]:
    variants: dict[str, _VariantWords] = {}
    for word in words:
        # The name ends at the first `:` or `=`.
        end = next((place for place, letter in enumerate(word) if letter in ":="), len(word))
        name, sign, rest = word[:end].strip(), word[end : end + 1], word[end + 1 :]
        if not _NAME.fullmatch(name):
            raise usage(
                f"--variant {word!r}: the name of a variant has letters, digits, spaces and -._, and is not {name!r}"
                if name
                else f"--variant {word!r} has no name",
                f"write {_FORMS}",
            )
        variant = variants.setdefault(name, _VariantWords())
        if sign == "=":
            if not rest:
                raise usage(
                    f"--variant {name}= names no flow", f"{name}=FLOW is another flow, {name} alone the flow as it is"
                )
            if variant.flow not in (None, rest):
                raise usage(
                    f"variant {name} has two flows: {variant.flow} and {rest}",
                    "give one of them another name: NAME=FLOW",
                )
            variant.flow = rest
        elif sign == ":":
            key, equals, _ = rest.partition("=")
            if not equals or not key.strip():
                missing = "no name before =" if equals else "no ="
                raise usage(f"--variant {word!r} sets nothing: {rest!r} has {missing}", f"write {_FORMS}")
            (variant.overrides if "." in key else variant.variables).append(rest)
    return variants


def _load_variant_flow(name: str, word: str) -> Mapping[str, Any]:
    """Return the flow of a variant.

    Raises:
        Problem: If there is none: the word may have been meant as the value of a variable.
    """
    try:
        flow = load_flow_or_id(word)
    except Problem as problem:
        problem.message = f"variant {name}: {problem.message}"
        if "/" not in word and "." not in word:
            problem.hint = f"a variable is set with --variant {shlex.quote(f'NAME:{name}={word}')}"
        raise
    if isinstance(flow, str):
        raise usage(
            f"variant {name} is the id of a stored flow, not a file",
            f"'stepflow flows get {word} -O {name}.yaml' writes it to a file",
        )
    return flow
