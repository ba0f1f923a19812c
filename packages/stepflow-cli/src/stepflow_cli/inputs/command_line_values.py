"""Read values passed on the command line: files, JSON, YAML, stdin, single values, examples and batches."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from ..errors import suggest, usage
from ..output.messages import note
from ..stdio import read_stdin_text
from .file_io import read_piped_value
from .flow_loading import (
    get_case_values,
    get_example_or_case_input,
    list_example_and_case_names,
    list_required_fields,
    list_step_ids,
)

if TYPE_CHECKING:
    from stepflow_client import InputStream

Form = Literal["file", "json", "yaml", "set"]


class ValueArgument(NamedTuple):
    """A value passed on the command line."""

    option: str
    """The option that was used, for messages."""
    form: Form
    text: str
    """A file name, JSON, YAML, or `name=value`."""


class RunValues(NamedTuple):
    """The input, variables and overrides passed to a run on the command line."""

    input: Sequence[ValueArgument] = ()
    example: str | None = None
    variables: Sequence[ValueArgument] = ()
    single_variables: Sequence[str] = ()
    """`name=value` strings, which take precedence over `variables`."""
    variables_from_env: bool = False
    """Whether to fill in missing variables from the environment."""
    overrides: Sequence[ValueArgument] = ()
    """The overrides, in the order in which they were passed. Later overrides take precedence."""
    stdin_format: str | None = None
    reads_stdin: bool = True
    """Whether to read the input from stdin if stdin is a pipe or file and no other input was passed."""

    @property
    def value_files(self) -> list[str]:
        """The files that values are read from."""
        arguments = (*self.input, *self.variables, *self.overrides)
        return [argument.text for argument in arguments if argument.form == "file"]

    def check_value_conflicts(self, *, flow: str, inputs: str | None = None, option: str = "--inputs") -> None:
        """Check for conflicting options before reading anything.

        Args:
            flow: The flow file, which may be `-`.
            inputs: The file that contains a batch's inputs, if any.
            option: The option or argument that specifies `inputs`.

        Raises:
            Problem: If any options conflict.
        """
        if inputs is not None and inputs.lstrip()[:1] in ("{", "[") and not os.path.lexists(inputs):
            raise usage(f"{option} expects a file name, not JSON", "put one value on each line of a .jsonl file")
        given = [*self.input, *self.variables, *self.overrides]
        for argument in given:
            _check_file_argument_is_not_json(argument)
        readers = [argument.option for argument in given if argument.form == "file" and argument.text == "-"]
        readers += ["FLOW"] * (flow == "-") + [option] * (inputs == "-")
        if len(readers) > 1:
            raise usage(f"{' and '.join(readers)} cannot both be read from standard input")

    def read_explicit_or_piped_input(self, flow: Mapping[str, Any]) -> tuple[Any] | None:
        """Return the input passed explicitly or piped in, as a 1-tuple, or None if there is no input.

        Raises:
            Problem, FlowFileError: If the input can't be read.
        """
        if self.example is not None:
            return (get_example_or_case_input(flow, self.example),)
        if self.input:
            return (read_value_argument(self.input[0], self.stdin_format),)
        taken = any(argument.form == "file" and argument.text == "-" for argument in (*self.variables, *self.overrides))
        return read_piped_value(self.stdin_format) if self.reads_stdin and not taken else None

    def read_input(self, flow: Mapping[str, Any]) -> Any:
        """Return the input that was passed explicitly, or else the value piped to the command.

        Return None if there is neither.

        Raises:
            Problem, FlowFileError: If the input can't be read, or if the flow requires one and there isn't one.
        """
        given = self.read_explicit_or_piped_input(flow)
        if given is not None:
            return given[0]
        required = list_required_fields(flow)
        if required:
            raise usage(f"the flow requires an input with {', '.join(required)}", _hint_input_options(flow, required))
        from stepflow_client.flows.run_requirements import find_required_input_paths

        paths = [] if self.overrides else find_required_input_paths(flow)
        read = list(dict.fromkeys(path[0] for path in paths if isinstance(path[0], str)))
        if read:
            listed = f"{', '.join(read[:5])}{', ...' if len(read) > 5 else ''}"
            hint = _hint_input_options(flow, read)
            raise usage(f"the flow reads {listed} from its input, but no input was passed", hint)
        return None

    def read_variables(self, flow: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the variables, or None if there aren't any.

        Raises:
            Problem, FlowFileError: If the variables can't be read or aren't a mapping.
        """
        from stepflow_client._data.flow_declarations import get_variable_declarations

        of_example = get_case_values(flow, self.example, "variables")
        if not self.variables and not self.single_variables:
            return of_example or None
        value = read_value_argument(self.variables[0], self.stdin_format) if self.variables else {}
        if not isinstance(value, dict):
            option = self.variables[0].option
            raise usage(f"{option} is not a mapping of names to values", 'use {"name": "value"}, or --var name=value')
        value = of_example | value
        declared = get_variable_declarations(flow)
        for variable in self.single_variables:
            name, text = _split_name_and_value(variable, "--var", "name=value")
            # Don't convert the values of string variables. Otherwise, 1.10 would become a number.
            is_text = name in declared and declared[name]["value_schema"].get("type") == "string"
            value[name] = text if is_text else parse_assigned_value(text)
        return value

    def read_overrides(self, flow: Mapping[str, Any]) -> list[Any] | None:
        """Return the overrides, merged from left to right, or None if there aren't any.

        Args:
            flow: The flow whose steps `--set` refers to.

        Raises:
            Problem, FlowFileError: If the overrides can't be read or aren't a mapping.
        """
        read = []
        for given in self.overrides:
            is_set = given.form == "set"
            value = _parse_set_override(given.text, flow) if is_set else read_value_argument(given, self.stdin_format)
            if not isinstance(value, dict):
                raise usage(f"{given.option} is not a mapping of steps to their changes")
            _check_override_targets(given, value, flow)
            read.append(value)
        return read or None


def read_value_argument(given: ValueArgument, stdin_format: str | None = None) -> Any:
    """Read a value from a file, stdin (`-`), or the command line itself.

    Args:
        given: The value, as it was passed.
        stdin_format: The format of stdin: `json` or `yaml`. Defaults to YAML, which includes JSON.

    Raises:
        FlowFileError: If the value can't be read.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import load_file, parse_json, parse_yaml

    if given.form == "json":
        return _parse_json_argument(_redecode_argument_as_utf_8(given.text), given.option)
    if given.form == "yaml":
        return parse_yaml(_redecode_argument_as_utf_8(given.text), given.option)
    if given.text == "-":
        parse = parse_json if stdin_format == "json" else parse_yaml
        return parse(read_stdin_text(), "standard input")
    if given.option == "--input" and given.text.lower().endswith((".csv", ".parquet")):
        raise usage(
            f"{given.text} is a file of many inputs, but --input accepts only one", _hint_batch_command(given.text)
        )
    try:
        return load_file(given.text)
    except FlowFileError as error:
        if given.option == "--input" and given.text.lower().endswith((".jsonl", ".ndjson")):
            error.hint = _hint_batch_command(given.text)
        raise


def _hint_batch_command(path: str) -> str:
    return f"to run the flow once per input, use 'stepflow batch FLOW {shlex.quote(path)}'"


def _parse_json_argument(text: str, option: str) -> Any:
    """Parse JSON, or a YAML mapping or list in block style, from the command line.

    Raises:
        FlowFileError: If the text is neither. If possible, the hint suggests the right option.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import parse_json, parse_yaml

    try:
        return parse_json(text, option)
    except FlowFileError as error:
        file, pair = text.removeprefix("@"), re.fullmatch(r"(\w+)=(.*)", text)
        if os.path.isfile(file):
            error.hint = f"to read the file, use {option.removesuffix('-json')} {shlex.quote(file)}"
        elif pair is not None:
            error.hint = f"use {_format_pair_as_json_option(option, pair)}"
        elif text.lstrip()[:1] in ("{", "["):
            # This is JSON with a mistake in it. Don't parse it as YAML, because that would turn {"a": None} into text.
            error.hint = error.hint or "put names and text in double quotes"
        else:
            with suppress(FlowFileError):
                value = parse_yaml(text)
                if isinstance(value, (dict, list)):
                    return value
        raise


def _format_pair_as_json_option(option: str, pair: re.Match[str]) -> str:
    """Convert an option's `name=value` to a JSON object and return the option for use in a hint."""
    return f"{option} {shlex.quote(json.dumps({pair[1]: parse_assigned_value(pair[2])}, ensure_ascii=False))}"


def parse_assigned_value(text: str) -> Any:
    """Parse the value in `name=value` as JSON or a YAML number, boolean, null, list or mapping.

    Anything else is text. Text is kept verbatim, including the whitespace around it and anything that YAML would treat
    as a comment, anchor or tag.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import parse_json, parse_yaml

    text = _redecode_argument_as_utf_8(text)
    with suppress(FlowFileError):
        return parse_json(text)
    is_collection = text.lstrip()[:1] in ("{", "[")
    if not is_collection and (text != text.strip() or any(mark in text for mark in "#&*!\n")):
        return text
    with suppress(FlowFileError):
        value = parse_yaml(text)
        if isinstance(value, (dict, list)):
            # `a: b` and `- a` are text that just happens to be valid YAML.
            return value if is_collection else text
        if isinstance(value, (bool, int, float)) or (value is None and text.lower() in ("null", "~")):
            return value
    return text


def _redecode_argument_as_utf_8(text: str) -> str:
    """Decode an argument again as UTF-8, because Python turns its non-ASCII bytes into surrogates in the C locale."""
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        with suppress(UnicodeError):
            return os.fsencode(text).decode()
    return text


def _hint_input_options(flow: Mapping[str, Any], required: Sequence[str]) -> str:
    sample = json.dumps(dict.fromkeys(required, "..."), ensure_ascii=False)
    names = list_example_and_case_names(flow)
    way = f"pass --input-json {shlex.quote(sample)}"
    return f"{way}, --input FILE, or --example NAME: {', '.join(names)}" if names else f"{way} or --input FILE"


def note_unread_input_fields(flow: Mapping[str, Any], input: Any) -> None:
    """Print a note about input fields that a flow (with its overrides) neither declares nor reads."""
    from stepflow_client.flows.run_requirements import find_unknown_fields

    for field in find_unknown_fields(flow, input):
        name = field.path.removeprefix("$.")
        note(f"the input has {name!r}, which the flow neither declares nor reads; {field.hint}")


def _check_file_argument_is_not_json(given: ValueArgument) -> None:
    """Check that JSON wasn't passed where a file name is expected.

    Raises:
        Problem: If JSON was passed. The hint names the option to use instead.
    """
    if given.form != "file" or os.path.lexists(given.text):
        return
    pair = re.fullmatch(r"(\w+)=(.*)", given.text)
    if given.text.lstrip()[:1] in ("{", "["):
        hint = f"use {given.option}-json {shlex.quote(given.text)}"
        raise usage(f"{given.option} expects a file name, not JSON", hint)
    if pair is not None and given.option == "--input":
        hint = f"use {_format_pair_as_json_option('--input-json', pair)}"
        raise usage(f"--input expects a file name, not {given.text}", hint)


def _split_name_and_value(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise usage(f"{option} expects {form}, not {text!r}", _hint_pair_syntax(option, name))
    return name, value


def _hint_pair_syntax(option: str, name: str) -> str:
    value = f"{name or 'NAME'}=VALUE" if option == "--var" else f"{name.partition('.')[0] or 'STEP'}.input.KEY=VALUE"
    return f"use {option} {shlex.quote(value)}"


def _parse_set_override(text: str, flow: Mapping[str, Any]) -> dict[str, Any]:
    """Parse an override in the form `step.input.key=value`."""
    form = "STEP.input.KEY=VALUE"
    path, value = _split_name_and_value(text, "--set", form)
    # A dot within a name is escaped with a backslash.
    parts = [part.replace("\0", ".") for part in path.replace("\\.", "\0").split(".")]
    if len(parts) < 2 or not all(parts):
        raise usage(f"--set expects {form}, not {text!r}", _hint_pair_syntax("--set", parts[0]))
    override, current = parse_assigned_value(value), _get_value_to_override(parts, flow)
    if isinstance(override, dict) and isinstance(current, Mapping):
        # Set the other keys to null, which removes them. Otherwise, the override would be merged with the old value.
        override = {**dict.fromkeys(str(key) for key in current if key not in override), **override}
    if parts[1] == "input" and len(parts) > 2:
        _check_step_has_input_key(parts[0], parts[2], flow)
    for part in reversed(parts):
        override = {part: override}
    return dict(override)


def _check_step_has_input_key(step: str, key: str, flow: Mapping[str, Any]) -> None:
    """Check an input key that was used with `--set`.

    Raises:
        Problem: If the step's input has no such key, and either it's probably a typo or the component doesn't accept
            it.
    """
    from stepflow_client.flows.components import BUILTINS

    current = _get_value_to_override([step, "input"], flow)
    if not isinstance(current, Mapping) or not current or key in current:
        return
    schema, _ = BUILTINS.get(str(_get_value_to_override([step, "component"], flow)), ({}, {}))
    known = [*dict.fromkeys((*current, *schema.get("properties", ())))]
    if key in known:
        return
    near = suggest(key, known)
    if near or "properties" in schema:
        raise usage(f"the input of step {step} has no {key}", near or f"it has {', '.join(known)}")
    note(f"the input of step {step} has no {key} in the flow; adding it")


def _get_value_to_override(parts: Sequence[str], flow: Mapping[str, Any]) -> Any:
    """Return the flow's current value at an override's path, or None if there isn't one.

    Raises:
        Problem: If the path points inside an expression, because only whole expressions can be overridden.
    """
    listed = flow.get("steps")
    steps = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    there: Any = {str(step.get("id")): step for step in steps}
    for place, part in enumerate(parts):
        if not isinstance(there, Mapping):
            return None
        if any(str(key).startswith("$") for key in there):
            whole = ".".join(parts[:place])
            raise usage(f"{whole} is an expression in the flow", f"set it as a whole: --set {whole}=VALUE")
        there = there.get(part)
    return there


# The keys of a step, except for `id`. Servers silently drop unknown keys.
_STEP_KEYS = ("component", "input", "onError", "mustExecute", "metadata")


def _check_override_targets(given: ValueArgument, overrides: Mapping[str, Any], flow: Mapping[str, Any]) -> None:
    """Check for overrides that would have no effect.

    Raises:
        Problem: If a step or key doesn't exist. The hint suggests the most similar one.
    """
    steps = list_step_ids(flow)
    inner = overrides.get("steps")
    if set(overrides) == {"steps"} and isinstance(inner, Mapping) and "steps" not in steps:
        overrides = {step: change.get("value", change) for step, change in inner.items() if isinstance(change, Mapping)}
    for step, change in overrides.items():
        if steps and step not in steps:
            raise usage(f"the flow has no step {step}", suggest(step, steps) or f"it has {', '.join(steps)}")
        for key in change if isinstance(change, Mapping) else ():
            if key not in ("id", *_STEP_KEYS, "value", "$type"):
                known = suggest(key, _STEP_KEYS) or f"the keys are {', '.join(_STEP_KEYS)}"
                raise usage(f"{given.option}: unknown key {key} for step {step}", known)


def open_input_stream(
    path: str, form: str | None, flow: Mapping[str, Any] | None = None, *, stops: bool = True
) -> InputStream:
    """Open a file of inputs.

    Args:
        path: The file, or `-` for stdin.
        form: `jsonl`, `csv`, `json`, `yaml` or `parquet`. Defaults to the file extension.
        flow: The flow. Its schema determines the types of CSV fields.
        stops: Whether the batch stops at an unreadable line. If not, a `ValueError` is yielded in its place.
    """
    from stepflow_client import read_inputs as opened

    source, format = sys.stdin.buffer if path == "-" else path, cast("Any", form)
    return opened(source, flow=flow, format=format, on_bad_line="stop" if stops else "fail")


def read_batch_inputs(path: str, form: str | None, flow: Mapping[str, Any] | None) -> list[Any]:
    """Return all inputs in a file or on stdin. By default, the file extension determines `form`.

    Raises:
        Problem, FlowFileError: If the inputs can't be read. Errors about a line include the line number.
    """
    from stepflow_client import FlowFileError

    try:
        with open_input_stream(path, form, flow) as inputs:
            values = list(inputs)
    except FlowFileError as error:
        raise usage(error.message, adapt_hint_to_cli(error.hint)) from None
    if not values:
        # Tell the user why nothing will run.
        note(f"no inputs in {'standard input' if path == '-' else path}")
    return values


def adapt_hint_to_cli(hint: str | None, instead: str | None = None) -> str | None:
    """Adapt a hint from `read_inputs` to the command line.

    `instead` replaces the part about a function argument. If it is None, that part is removed.
    """
    from stepflow_client._command import SKIP_HINT

    parts = [instead if part == SKIP_HINT else part for part in (hint or "").split("; ")]
    return "; ".join(filter(None, parts)) or None


IndexedInput = tuple[int, Any]
"""An input, preceded by its zero-based position in the file."""


def slice_inputs(inputs: Iterable[IndexedInput], skip: int, limit: int | None) -> Iterator[IndexedInput]:
    """Skip the first `skip` inputs, then return up to `limit` more (or all the rest if `limit` is None)."""
    return islice(inputs, skip, None if limit is None else skip + limit)


def sample_inputs(inputs: Iterable[IndexedInput], size: int, seed: int) -> Iterator[IndexedInput]:
    """Yield a random sample of `size` inputs in their original order.

    The same inputs and seed always give the same sample.

    All inputs are read before the first is yielded, but only the sample is kept in memory.
    """
    import random

    choose = random.Random(seed)
    held: list[IndexedInput] = []
    for seen, each in enumerate(inputs):
        if seen < size:
            held.append(each)
        elif (place := choose.randint(0, seen)) < size:
            held[place] = each
    yield from sorted(held, key=lambda entry: entry[0])


def select_inputs_at_positions(inputs: Iterable[IndexedInput], wanted: Mapping[int, Any]) -> Iterator[IndexedInput]:
    """Yield the inputs at the given positions. Stop reading after the last one.

    Raises:
        LookupError: If there aren't enough inputs.
    """
    left = set(wanted)
    for position, value in inputs:
        if position in left:
            yield position, value
            left.discard(position)
            if not left:
                return
    if left:
        raise LookupError(f"there is no input {min(left)}")
