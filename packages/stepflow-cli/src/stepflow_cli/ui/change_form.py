"""The form for changing a run, and the arguments for rerunning the run with those changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from stepflow_client import InvalidArgumentError, Keep, RunArguments, RunDetails, StoredFlow
from stepflow_client._command import FailureGroup, apply_patch, make_merge_patch
from stepflow_client.flows.graph import get_steps_by_id
from stepflow_client.flows.interpreter import apply_overrides_if_valid
from stepflow_client.flows.run_requirements import check_inputs

from .schema_forms import (
    Field,
    InvalidFormError,
    clear_field,
    fill_field,
    fill_fields_from_object,
    format_editable_json,
    get_values_to_submit,
    parse_json_or_yaml,
    parse_submitted_object,
    reject_masked_value,
    restore_submitted_texts,
    should_parse_text_instead_of_fields,
)

START_ALL, START_FAILED, START_CHANGED, START_FROM = "all", "failed", "changed", "from:"
"""Which steps to execute: all of them, those that didn't complete, those affected by the change, or one step
(`from:ID`) along with every step that reads from it."""


@dataclass(frozen=True)
class ItemsToChange:
    """The item (or group of failed items) of a run that the user wants to change and rerun."""

    run: RunDetails
    stored: StoredFlow
    arguments: RunArguments
    """The run's arguments, which may contain secrets."""
    masked_arguments: RunArguments
    """The run's arguments, with known secrets masked."""
    fields: tuple[list[Field], list[Field]]
    """The fields for the flow's input and variables."""
    total: int
    index: int
    """The index of the item whose input is shown."""
    group: FailureGroup | None = None
    step: str = ""
    """The ID of the step whose input can be edited, if any."""

    @property
    def item_indexes(self) -> list[int]:
        """The indexes of the items to change."""
        return [self.index] if self.group is None else self.group.indexes

    @property
    def query_parameters(self) -> dict[str, Any]:
        """The query parameters that select these items."""
        if self.group is not None:
            return {"group": self.group.key, "step": self.step}
        return {"item": self.index if self.total > 1 else None, "step": self.step}

    @cached_property
    def masked_input(self) -> Any:
        """The item's input as shown in the form, or None if it isn't known."""
        return None if self.masked_arguments.inputs is None else self.masked_arguments.inputs[self.index]

    @cached_property
    def steps_after_overrides(self) -> dict[str, Any]:
        """The flow's steps by ID, with the run's overrides applied."""
        return dict(get_steps_by_id(apply_overrides_if_valid(self.stored.flow, self.arguments.overrides)))

    @property
    def step_input_in_flow(self) -> Any:
        """The step's input as written in the flow, including expressions."""
        return self.steps_after_overrides[self.step].get("input") if self.step in self.steps_after_overrides else None


@dataclass(frozen=True)
class ChangeForm:
    """The contents of the form."""

    inputs: list[Field]
    """The fields for the input. The list is empty if the input is edited as JSON."""
    variables: list[Field]
    raw: str
    step_text: str
    overrides: str = ""
    start: str = START_ALL
    before: str | None = None
    """The `hash_form_contents` value that was submitted with the form, if any."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Error messages by text box: `input`, `step` or `overrides`."""


def prefill_form(subject: ItemsToChange) -> ChangeForm:
    """Return a form filled in with the arguments of the original run."""
    (inputs, variables), given = subject.fields, subject.masked_arguments
    has_inputs, values = given.inputs is not None, given.variables or {}
    known = {name: value for name, value in values.items() if f"variables.{name}" not in given.hidden}
    start = START_CHANGED if subject.step else START_ALL if subject.total == 1 else START_FAILED
    return ChangeForm(
        inputs=fill_fields_from_object(inputs, subject.masked_input) if has_inputs else list(map(clear_field, inputs)),
        variables=[fill_field(each, known[each.key]) if each.key in known else clear_field(each) for each in variables],
        raw=format_editable_json(subject.masked_input),
        step_text=format_editable_json(subject.step_input_in_flow),
        start=start,
    )


def refill_form(subject: ItemsToChange, form: Mapping[str, str]) -> ChangeForm:
    """Return a form filled in with the submitted values. Secrets are left out, because pages never echo them."""
    inputs, variables = subject.fields
    return ChangeForm(
        inputs=restore_submitted_texts(inputs, form),
        variables=restore_submitted_texts(variables, form),
        raw=form.get("raw", "").replace("\r\n", "\n"),
        step_text=form.get("step_input", ""),
        overrides=form.get("overrides", ""),
        start=form.get("start", START_ALL),
        before=form.get("before"),
    )


class InvalidChangeError(ValueError):
    """Raised for an invalid change. Includes the form, with an error next to each invalid field."""

    def __init__(self, message: str, form: ChangeForm) -> None:
        super().__init__(message)
        self.form = form


def make_rerun_arguments(subject: ItemsToChange, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments for `rerun` that apply the submitted change to the selected items.

    Raises:
        InvalidChangeError: If a value is invalid.
    """
    shown = refill_form(subject, form)
    arguments: dict[str, Any] = {"items": subject.item_indexes}
    start = form.get("start", START_ALL)
    if start == START_FAILED:
        arguments["keep"] = "succeeded"
    elif start == START_CHANGED:
        # Don't keep any outputs that were computed from a different input.
        arguments["keep"] = Keep("unchanged", before=subject.step or None)
    elif start.startswith(START_FROM):
        arguments["keep"] = Keep(before=start.removeprefix(START_FROM))
    try:
        inputs = _apply_input_edits(subject, form)
        if inputs is not None:
            if inputs is not subject.arguments.inputs:
                check_inputs(subject.stored.flow, [inputs[index] for index in subject.item_indexes])
            arguments["input"] = inputs
    except InvalidFormError as error:
        raise InvalidChangeError(str(error), replace(shown, inputs=error.fields)) from None
    except (ValueError, InvalidArgumentError) as error:
        raise InvalidChangeError(f"input: {error}", replace(shown, errors={"input": str(error)})) from None
    try:
        variables = parse_submitted_object([replace(variable, required=False) for variable in subject.fields[1]], form)
    except InvalidFormError as error:
        raise InvalidChangeError(str(error), replace(shown, variables=error.fields)) from None
    # A rerun keeps the original value of any variable that isn't passed to it.
    known = subject.arguments.variables or {}
    changed = {name: value for name, value in variables.items() if name not in known or known[name] != value}
    arguments["variables"] = changed or None
    overrides, name = [], "overrides"
    try:
        further = parse_json_or_yaml(form.get("overrides", ""))
        if further is not None:
            if not isinstance(further, dict):
                raise ValueError("use a mapping from step IDs to their changes")
            overrides.append(further)
        name = "step"
        if subject.step in subject.steps_after_overrides:
            before, after = subject.step_input_in_flow, parse_json_or_yaml(form.get("step_input", ""))
            if before != after:
                reject_masked_value(after, subject.stored.flow)
                overrides.append({subject.step: {"input": make_merge_patch(before, after)}})
    except ValueError as error:
        raise InvalidChangeError(f"{name}: {error}", replace(shown, errors={name: str(error)})) from None
    return {**arguments, "overrides": overrides or None}


def _apply_input_edits(subject: ItemsToChange, form: Mapping[str, str]) -> list[Any] | None:
    """Return the inputs for all items, or None if they're unknown or masked and the user didn't enter one."""
    known, fields = subject.arguments.inputs, subject.fields[0]
    entered = None
    if should_parse_text_instead_of_fields(fields, form):
        entered = parse_json_or_yaml(form.get("raw", ""))
    elif any(form.get(name) for name in get_values_to_submit(fields)):
        entered = parse_submitted_object(fields, form)
    edited: list[Any] | None
    if known is None:
        edited = None if entered is None else [entered] * subject.total
    elif entered == subject.masked_input:
        edited = known
    elif subject.group is None:
        edited = [entered if index == subject.index else value for index, value in enumerate(known)]
    else:
        # Each item has its own input, so apply only the edits that the user made to the displayed input.
        patch, changed = make_merge_patch(subject.masked_input, entered), set(subject.item_indexes)
        edited = [apply_patch(value, patch) if index in changed else value for index, value in enumerate(known)]
    try:
        reject_masked_value(edited and [edited[index] for index in subject.item_indexes], subject.stored.flow)
    except ValueError:
        if edited is not known:
            raise
        # The input was masked in the history, so the rerun will fail if it executes a step that reads the input.
        return None
    return edited
