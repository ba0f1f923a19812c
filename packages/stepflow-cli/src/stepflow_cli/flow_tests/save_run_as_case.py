"""Convert an item of a run to a test case, and add the case to the flow file without changing anything else in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import unified_diff
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowResult, InvalidArgumentError, NotFoundError
from stepflow_client._command import check_text, expectation_of, remove_cases
from stepflow_client._data.secrets import has_hidden_part
from stepflow_client._editing.yaml_and_json_edits import (
    Edit,
    NotEditableError,
    build_keys_addition,
    detect_json_indent,
    dump_json,
    edit_and_verify,
    find_line_end,
    format_block,
    iter_minimal_value_edits,
)
from stepflow_client.flows.expected_results import is_json_equal, was_run_lost
from stepflow_client.flows.expressions import PathError, format_path, parse_path
from stepflow_client.flows.graph import get_steps_by_id
from stepflow_client.flows.syntax_tree import Node

if TYPE_CHECKING:
    from stepflow_client import RunArguments, RunDetails
    from stepflow_client.types.runs import RunSnapshot


def build_test_case(
    name: str,
    input: Any,
    result: FlowResult,
    *,
    variables: Mapping[str, Any] | None = None,
    mocks: Mapping[str, Any] | None = None,
    flow: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Build a test case from a finished item. It expects the same output or error.

    Args:
        name: The case's name.
        input: The item's input.
        result: The item's result.
        variables: The run's variables. Defaults to none.
        mocks: The outcomes of steps as flow results, by step ID. Defaults to None, which means that all steps are
            executed.
        flow: The flow. The case expects exact matches for values copied from it. Defaults to None (unknown).
        at: When the run was executed. Defaults to None (now).

    Raises:
        InvalidArgumentError: If the item was cancelled or the server lost it.
    """
    check_text(name, "name")
    if result.is_cancelled or was_run_lost(result):
        state = "cancelled" if result.is_cancelled else "lost"
        raise InvalidArgumentError(f"a {state} run cannot become a test case: it has neither an output nor an error")
    pinned = {name: dict(each) for name, each in (("variables", variables), ("mocks", mocks)) if each}
    given = (input, pinned, remove_cases(flow or {}))
    return {"name": name, "input": input, **pinned, "output": expectation_of(result, given=given, at=at)}


def add_case_to_content(content: bytes, case: Mapping[str, Any], source: str, *, replace: bool = False) -> bytes:
    """Return a flow file's content with a case appended to `test.cases`.

    Args:
        content: The file's content (YAML or JSON, encoded as UTF-8).
        case: The case, as returned by `build_test_case`.
        source: The file's name.
        replace: Whether to update an existing case with this name: its input, variables, mocks and expected output are
            replaced, and its other keys are kept. Defaults to False.

    Raises:
        InvalidArgumentError: If the file already has a case with this name and `replace` is False.
        FlowFileError: If the case can't be added without changing anything else, e.g. because the cases are an alias.
    """
    added = dict(case)

    def build_edits(text: str, root: Node) -> tuple[Iterable[Edit], Any]:
        changed = copy.deepcopy(root.value)
        test = (changed.get("test") or {}) if isinstance(changed, dict) else None
        cases = (test.get("cases") or []) if isinstance(test, dict) else None
        if test is None or not isinstance(cases, list):
            return [], added
        same = [at for at, each in enumerate(cases) if isinstance(each, dict) and each.get("name") == added.get("name")]
        if same and not replace:
            raise InvalidArgumentError(f"{source} already has a test case {added['name']!r}")
        if same:
            # Remove the variables and mocks if the new case has none.
            dropped = {"variables", "mocks"} - added.keys()
            old = {key: value for key, value in cases[same[0]].items() if key not in dropped}
            cases[same[0]] = old | added
            return _build_case_replacement_edits(text, root, same[0], cases[same[0]]), changed
        changed["test"] = {**test, "cases": [*cases, added]}
        # Return a lazy iterator, because `edit_and_verify` only handles errors raised while it reads the edits.
        return map(partial(_build_case_append_edit, text, root), [added]), changed

    problem = "cannot add a test case without changing more of the file; write test.cases as a separate list"
    return edit_and_verify(content, source, build_edits, problem)


def _build_case_replacement_edits(text: str, root: Node, index: int, case: Mapping[str, Any]) -> Iterator[Edit]:
    node = root.at("test", "cases", index)
    around = [root.at("test"), root.at("test", "cases"), node]
    if node is None or any(part is None or part.original is not None or part.merges for part in around):
        raise NotEditableError
    if not case.keys() >= node.items.keys():
        # A key has to be removed, so rewrite the whole case.
        if node.is_flow:
            yield node.start, node.end, dump_json(case)
        else:
            indent, written = _get_indent_and_element(text, node, case)
            yield text.rindex("-", 0, node.start) - indent, find_line_end(text, node.last), written
        return
    for name, part in node.items.items():
        yield from iter_minimal_value_edits(text, node, node.keys[name], part, case[name])
    new = {name: value for name, value in case.items() if name not in node.items}
    if new:
        yield build_keys_addition(text, node, new)


def _build_case_append_edit(text: str, root: Node, case: dict[str, Any]) -> Edit:
    test = root.get("test")
    if not root.written_keys:
        # Positions aren't available for JSON that isn't valid YAML (for example, because a key is too long).
        raise NotEditableError
    if test is None:
        return build_keys_addition(text, root, {"test": {"cases": [case]}})
    if test.value in (None, {}):
        return _build_empty_value_replacement(text, root, "test", {"cases": [case]})
    if not isinstance(test.value, dict) or test.original is not None:
        raise NotEditableError
    cases = test.get("cases")
    if cases is None:
        return build_keys_addition(text, test, {"cases": [case]})
    if cases.value in (None, []):
        return _build_empty_value_replacement(text, test, "cases", [case])
    if cases.original is not None or not cases.elements:
        raise NotEditableError
    last = cases.elements[-1]
    if not cases.is_flow:
        end = find_line_end(text, cases.last)
        return end, end, "\n" + _get_indent_and_element(text, last, case)[1]
    start = text.rfind("\n", 0, last.start) + 1
    before = text[start : last.start]
    between = ", " if before.strip() else f",\n{before}"
    written = dump_json(case, None if before.strip() else detect_json_indent(text))
    return last.end, last.end, between + written.replace("\n", "\n" + before)


def _build_empty_value_replacement(text: str, parent: Node, name: str, value: Any) -> Edit:
    """Return an edit that replaces a null value or an empty collection."""
    key, node = parent.keys[name], parent.items[name]
    if key.start < 0 or node.original is not None:
        raise NotEditableError
    colon = text.index(":", key.end) + 1
    end = max(colon, node.end)
    if parent.is_flow:
        return colon, end, f" {dump_json(value)}"
    if "#" in text[colon : find_line_end(text, end)]:
        raise NotEditableError
    return colon, end, "\n" + format_block(value, key.column + 1)


def _get_indent_and_element(text: str, sibling: Node, case: Mapping[str, Any]) -> tuple[int, str]:
    """Format a case with the same indentation as its siblings. Return the indentation along with the text."""
    before = text[: sibling.start].rstrip()
    if not before.endswith("-"):
        raise NotEditableError
    indent = len(before) - 1 - (before.rfind("\n") + 1)
    written = format_block([case], indent)
    if written.lstrip().startswith("["):
        # The case contains text that can't be written in block style.
        written = f"{' ' * indent}- {dump_json(case)}"
    return indent, written


@dataclass(frozen=True)
class ItemToSave:
    """An item of a run, with its input and result. Known secrets are masked as `***`."""

    run: RunDetails
    index: int
    total: int
    """The number of items in the run."""
    flow: Mapping[str, Any]
    """The run's flow, or an empty mapping if it's unknown."""
    arguments: RunArguments
    input: Any
    result: FlowResult
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    """The outcomes of steps as flow results, if they were fetched."""

    @property
    def warnings(self) -> list[str]:
        """Reasons the case might not pass as is."""
        error, warnings = self.result.error, list[str]()
        if self.arguments.overrides:
            warnings.append("the run overrode steps, which a test case cannot do, so its result may differ")
        secret = [name for name, value in (self.arguments.variables or {}).items() if has_hidden_part(value)]
        if secret:
            ways = " ".join(f"--var {name}=VALUE" for name in secret)
            warnings.append(f"secret variables are left out: set them with 'stepflow test {ways}'")
        if has_hidden_part([self.input, self.result.output, *([error.message, error.details] if error else [])]):
            warnings.append("secrets are shown as ***: replace them in the case with real or made-up values")
        return warnings

    @property
    def default_case_name(self) -> str:
        """A default name for the case. The run ID makes it unique."""
        what = "works" if self.result.is_success else "fails"
        return f"{what} as in {self.run.run_id[:8]}{f' item {self.index}' if self.total > 1 else ''}"

    def to_test_case(self, name: str, mocked: Iterable[str] = ()) -> dict[str, Any]:
        """Return the test case, with mocks for the given steps.

        Raises:
            InvalidArgumentError: If the item was cancelled or the server lost it.
        """

        mocks = {step_id: self.outcomes[step_id] for step_id in mocked}
        variables = self.arguments.variables or {}
        variables = {name: value for name, value in variables.items() if not has_hidden_part(value)}
        known: dict[str, Any] = {"variables": variables, "mocks": mocks, "flow": self.flow}
        return build_test_case(name, self.input, self.result, **known, at=self.run.created_at)


def build_item_to_save(snapshot: RunSnapshot, index: int) -> ItemToSave:
    """Return an item of a run, ready to be saved as a test case.

    Args:
        snapshot: The run with its items, flow and arguments, along with its steps if their outcomes may be saved.
        index: The item's index.

    Raises:
        NotFoundError: If the run has no such item.
        InvalidArgumentError: If the item hasn't ended, or if its input is unknown.
    """
    from stepflow_client._command import make_outcome_dict
    from stepflow_client._runs.explanation import explain_items
    from stepflow_client.drawing.report_data import mask_snapshot

    run, items = snapshot.details, snapshot.items or ()
    if not 0 <= index < len(items):
        hint = "items are counted from 0"
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404, hint=hint)
    shown = mask_snapshot(replace(snapshot, items=[items[index]]))
    item, arguments = next(iter(shown.items or ())), shown.arguments
    if item.result is None:
        raise InvalidArgumentError("it has not ended yet: a test case needs its output or its error")
    if arguments is None or arguments.inputs is None or len(arguments.inputs) != len(items):
        hint = "runs started on this machine are in the history, if it is on"
        raise InvalidArgumentError("the run's input is unknown, so it cannot become a test case", hint=hint)
    account = explain_items(shown)[item.index]
    # The other steps were skipped because they depend on a step that failed.
    ran = {step.step_id for step in account.steps if step.state in ("completed", "failed")}
    listed = [step for step in shown.steps or () if step.step_id in ran]
    outcomes = {step.step_id: make_outcome_dict(step.output, step.error) for step in listed}
    input, flow = arguments.inputs[index], snapshot.flow or {}
    return ItemToSave(run, index, len(items), flow, arguments, input, item.result, outcomes)


def diff_contents(before: bytes, after: bytes) -> tuple[str, ...]:
    """Return a file's changed lines, with some context, in the format of `diff -u` but without the file names."""
    was, now = (content.decode("utf-8", "replace").splitlines() for content in (before, after))
    return tuple(unified_diff(was, now, lineterm=""))[2:]


def rate_flow_match(file_flow: Mapping[str, Any], flow: Mapping[str, Any]) -> int:
    """Rate how well a run's flow matches the flow in a file, from 0 (different) to 4 (identical)."""

    if is_json_equal(_normalize_for_comparison(file_flow), _normalize_for_comparison(flow)):
        return 4
    if flow.get("name") and file_flow.get("name") == flow["name"]:
        return 3 if [*get_steps_by_id(file_flow)] == [*get_steps_by_id(flow)] else 2
    return 0


def _normalize_for_comparison(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Normalize the defaults and paths in a flow, because servers change them when they store the flow."""
    result = {key: each for key, each in remove_cases(flow).items() if each not in (None, [], {})}
    if isinstance(result.get("schemas"), Mapping):
        result["schemas"] = {"type": "object", **result["schemas"]}
    if isinstance(result.get("steps"), list):
        result["steps"] = [
            {key: each for key, each in step.items() if each is not None and each is not False}
            if isinstance(step, Mapping)
            else step
            for step in result["steps"]
        ]
    return {key: _normalize_expression_paths(each) for key, each in result.items()}


def _normalize_expression_paths(value: Any, key: object = None) -> Any:
    if isinstance(value, list):
        return [_normalize_expression_paths(element) for element in value]
    if isinstance(value, Mapping):
        return {name: _normalize_expression_paths(each, name) for name, each in value.items()}
    if isinstance(value, str) and key in ("path", "$input", "$variable"):
        with suppress(PathError):
            return format_path(parse_path(value))
    return value
