"""Selects test cases by name, tag or expression, or by the steps and components they can reach."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from .._data.arguments import check_instance, check_instances, check_text, check_texts
from ..errors import InvalidArgumentError
from ..flows.expressions import Reference
from ..flows.graph import FlowSteps, find_inner_flow, iter_steps
from ..flows.interpreter import EXPRESSION_ERRORS, Failure, NotKnownError, RecordedInterpreter
from .flow_cases import FlowCase, FlowTests, get_case_variables

_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_Matches = Callable[[FlowCase], bool]


def select_cases(
    cases: Iterable[FlowCase], patterns: Sequence[str] = (), tags: Sequence[str] = (), *, expression: str | None = None
) -> list[FlowCase]:
    """Return the cases that match all conditions.

    Args:
        cases: The cases.
        patterns: Glob patterns. The name must match or equal at least one of them. Defaults to an empty list, which
            matches every name.
        tags: Tags. The case must have at least one of them. Defaults to an empty list, which matches every case.
        expression: Text that the name or a tag must contain, ignoring case. You can combine strings using `and`, `or`,
            `not` and parentheses, e.g. `tea and not slow`. Defaults to None, which matches every case.

    Raises:
        InvalidArgumentError: If the expression is malformed.
    """
    patterns, tags = check_texts(patterns, "patterns"), check_texts(tags, "tags")
    matches = None if expression is None else _compile_case_expression(check_text(expression, "expression"))
    return [
        case
        for case in check_instances(cases, "cases", FlowCase)
        if (not patterns or case.name in patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns))
        and (not tags or any(tag in case.tags for tag in tags))
        and (matches is None or matches(case))
    ]


def _compile_case_expression(text: str) -> _Matches:
    """Return a function that checks whether a case matches an expression made of text, `and`, `or`, `not` and
    parentheses. Consecutive words are treated as a single string.

    Raises:
        InvalidArgumentError: If the expression is malformed.
    """
    tokens: list[str] = _TOKEN.findall(text)

    def take(token: str) -> bool:
        is_next = bool(tokens) and tokens[0].lower() == token
        if is_next:
            tokens.pop(0)
        return is_next

    def parse_joined(word: str, combine: Callable[[Iterable[bool]], bool], parse: Callable[[], _Matches]) -> _Matches:
        parts = [parse()]
        while take(word):
            parts.append(parse())
        return lambda case: combine(part(case) for part in parts)

    def parse_alternatives() -> _Matches:
        return parse_joined("or", any, lambda: parse_joined("and", all, parse_condition))

    def parse_condition() -> _Matches:
        if take("not"):
            negated = parse_condition()
            return lambda case: not negated(case)
        if take("("):
            inner = parse_alternatives()
            if not take(")"):
                raise make_error()
            return inner
        words: list[str] = []
        while tokens and tokens[0].lower() not in ("and", "or", "not", "(", ")"):
            words.append(tokens.pop(0).lower())
        if not words:
            raise make_error()
        wanted = " ".join(words)
        return lambda case: any(wanted in name.lower() for name in (case.name, *case.tags))

    def make_error() -> InvalidArgumentError:
        at = f"before {tokens[0]!r}" if tokens else "at its end"
        hint = "combine words with and, or, not and parentheses: tea and not slow"
        return InvalidArgumentError(f"the expression {text!r} is incomplete {at}", hint=hint)

    matches = parse_alternatives()
    if tokens:
        raise make_error()
    return matches


def touching(tests: FlowTests, names: Sequence[str]) -> list[FlowCase]:
    """Return the cases that mock, or could execute, any of the named steps or components.

    Args:
        tests: The flow and its cases.
        names: Step IDs and component paths, from the flow itself or from the sub-flows in its steps.
    """
    check_instance(tests, "tests", FlowTests)
    wanted = {*check_texts(names, "names")}
    return [
        case
        for case in tests.cases
        if wanted & (_get_step_ids_and_components(iter_steps_reachable_by_case(tests, case)) | case.mocks.keys())
    ]


def iter_steps_reachable_by_case(tests: FlowTests, case: FlowCase) -> Iterator[Mapping[str, Any]]:
    """Yield the steps that a case could execute or that it mocks, including those in sub-flows.

    Skips steps that nothing needs and steps that are only read by a mocked step. If a condition depends only on the
    input and variables, also skips steps that only the other branch needs. If a condition reads a step, follows both
    branches.
    """
    steps = FlowSteps(tests.flow)
    evaluation = RecordedInterpreter(tests.flow, case.input, get_case_variables(tests, case), {}, is_over=False)

    def may_be_read(reference: Reference) -> bool:
        for branch in reference.branches:
            if branch.kind in ("then", "else"):
                try:
                    holds = evaluation.evaluate({"$if": branch.condition, "then": True, "else": False}) is True
                except (Failure, NotKnownError, *EXPRESSION_ERRORS):
                    continue
                if holds != (branch.kind == "then"):
                    return False
        return True

    reached = steps.find_steps_to_run(may_read=may_be_read, unread=case.mocks)
    for step in steps.all:
        if step.id in reached:
            yield step.value
            inner = find_inner_flow(step.value)
            if inner is not None and step.id not in case.mocks:
                yield from iter_steps(inner.flow, needed=True)


def _get_step_ids_and_components(steps: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(step[key]) for step in steps for key in ("id", "component") if key in step}
