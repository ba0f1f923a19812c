# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.error_code import ErrorCode
from ..models.run_status import RunStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="ItemResult")


@_attrs_define
class ItemResult:
    """The result of one item of a run."""

    item_index: int
    """ The place of the item's input in the run's list of inputs, counted from 0. """
    status: RunStatus
    """ The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could not be
    recovered after a crash of the server. """
    output: Any | Unset = UNSET
    """ The flow's output, any JSON value, null included. Absent unless the item succeeded. """
    error_message: str | Unset = UNSET
    """ Why the item failed. Absent unless it did. """
    error_code: ErrorCode | Unset = UNSET
    """ Why an item or step failed - 1 timeout, 2 invalid input, 3 the component failed, 4 cancelled, 5 the
    component could not be reached, 6 no such component, 7 a resource is not available, 8 an expression could not be
    evaluated, 9 the server itself, such as no route to the component, 10 the worker. Absent unless it failed. """
    completed_at: str | Unset = UNSET
    """ When the item ended, RFC 3339 in UTC with up to nine fractional digits. Absent while it runs. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        item_index = self.item_index

        status = self.status.value

        output = self.output

        error_message = self.error_message

        error_code: int | Unset = UNSET
        if not isinstance(self.error_code, Unset):
            error_code = self.error_code.value

        completed_at = self.completed_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "itemIndex": item_index,
                "status": status,
            }
        )
        if output is not UNSET:
            field_dict["output"] = output
        if error_message is not UNSET:
            field_dict["errorMessage"] = error_message
        if error_code is not UNSET:
            field_dict["errorCode"] = error_code
        if completed_at is not UNSET:
            field_dict["completedAt"] = completed_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        item_index = d.pop("itemIndex")

        status = RunStatus(d.pop("status"))

        output = d.pop("output", UNSET)

        error_message = d.pop("errorMessage", UNSET)

        _error_code = d.pop("errorCode", UNSET)
        error_code: ErrorCode | Unset
        if isinstance(_error_code, Unset):
            error_code = UNSET
        else:
            error_code = ErrorCode(_error_code)

        completed_at = d.pop("completedAt", UNSET)

        item_result = cls(
            item_index=item_index,
            status=status,
            output=output,
            error_message=error_message,
            error_code=error_code,
            completed_at=completed_at,
        )

        item_result.additional_properties = d
        return item_result

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
