# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.error_code import ErrorCode
from ..models.run_status import RunStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="StepRun")


@_attrs_define
class StepRun:
    """The execution of one step for one item."""

    step_id: str
    """ The step's id in the flow. """
    step_index: int
    """ The step's place in the flow, counted from 0. """
    item_index: int
    """ The item's place in the run, counted from 0. """
    status: RunStatus
    """ The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could not be
    recovered after a crash of the server. """
    component: str
    """ The component, with the route's prefix. """
    journal_seqno: int
    """ The sequence number of the event behind this state. """
    updated_at: str
    """ When the state changed last, RFC 3339 in UTC with up to nine fractional digits. """
    output: Any | Unset = UNSET
    """ What the component returned, any JSON value. Absent unless the step succeeded. """
    error_message: str | Unset = UNSET
    """ Why the step failed. Absent unless it did. """
    error_code: ErrorCode | Unset = UNSET
    """ Why an item or step failed - 1 timeout, 2 invalid input, 3 the component failed, 4 cancelled, 5 the
    component could not be reached, 6 no such component, 7 a resource is not available, 8 an expression could not be
    evaluated, 9 the server itself, such as no route to the component, 10 the worker. Absent unless it failed. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        step_id = self.step_id

        step_index = self.step_index

        item_index = self.item_index

        status = self.status.value

        component = self.component

        journal_seqno = self.journal_seqno

        updated_at = self.updated_at

        output = self.output

        error_message = self.error_message

        error_code: int | Unset = UNSET
        if not isinstance(self.error_code, Unset):
            error_code = self.error_code.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "stepId": step_id,
                "stepIndex": step_index,
                "itemIndex": item_index,
                "status": status,
                "component": component,
                "journalSeqno": journal_seqno,
                "updatedAt": updated_at,
            }
        )
        if output is not UNSET:
            field_dict["output"] = output
        if error_message is not UNSET:
            field_dict["errorMessage"] = error_message
        if error_code is not UNSET:
            field_dict["errorCode"] = error_code

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        step_id = d.pop("stepId")

        step_index = d.pop("stepIndex")

        item_index = d.pop("itemIndex")

        status = RunStatus(d.pop("status"))

        component = d.pop("component")

        journal_seqno = d.pop("journalSeqno")

        updated_at = d.pop("updatedAt")

        output = d.pop("output", UNSET)

        error_message = d.pop("errorMessage", UNSET)

        _error_code = d.pop("errorCode", UNSET)
        error_code: ErrorCode | Unset
        if isinstance(_error_code, Unset):
            error_code = UNSET
        else:
            error_code = ErrorCode(_error_code)

        step_run = cls(
            step_id=step_id,
            step_index=step_index,
            item_index=item_index,
            status=status,
            component=component,
            journal_seqno=journal_seqno,
            updated_at=updated_at,
            output=output,
            error_message=error_message,
            error_code=error_code,
        )

        step_run.additional_properties = d
        return step_run

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
