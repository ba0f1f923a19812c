# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="CreateRunRequest")


@_attrs_define
class CreateRunRequest:
    """A run to start."""

    flow_id: str
    """ The id of a stored flow, or of a blob of type `flow`. """
    input_: list[Any]
    """ The inputs, one for each item of the run. Not checked against the flow's schemas. """
    overrides: Any | Unset = UNSET
    """ Changes to the flow's steps for this run only, `{"steps": {<step id>: {"value": {...}}}}`; the value is
    merged into the step. An unknown step is refused. """
    variables: Any | Unset = UNSET
    """ Values of the flow's variables by name, a JSON object. """
    max_concurrency: int | Unset = UNSET
    """ How many items may run at the same time. 0 makes the server drop the connection. Default is no limit. """
    wait: bool | Unset = UNSET
    """ Answer when the run has ended or the timeout passed. Default false. """
    timeout_secs: int | Unset = UNSET
    """ Seconds to wait, a whole number; 0 answers at once. When they pass, the run is answered as it is and goes
    on. Default 300. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        flow_id = self.flow_id

        input_ = self.input_

        overrides = self.overrides

        variables = self.variables

        max_concurrency = self.max_concurrency

        wait = self.wait

        timeout_secs = self.timeout_secs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "flowId": flow_id,
                "input": input_,
            }
        )
        if overrides is not UNSET:
            field_dict["overrides"] = overrides
        if variables is not UNSET:
            field_dict["variables"] = variables
        if max_concurrency is not UNSET:
            field_dict["maxConcurrency"] = max_concurrency
        if wait is not UNSET:
            field_dict["wait"] = wait
        if timeout_secs is not UNSET:
            field_dict["timeoutSecs"] = timeout_secs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        flow_id = d.pop("flowId")

        input_ = cast(list[Any], d.pop("input"))

        overrides = d.pop("overrides", UNSET)

        variables = d.pop("variables", UNSET)

        max_concurrency = d.pop("maxConcurrency", UNSET)

        wait = d.pop("wait", UNSET)

        timeout_secs = d.pop("timeoutSecs", UNSET)

        create_run_request = cls(
            flow_id=flow_id,
            input_=input_,
            overrides=overrides,
            variables=variables,
            max_concurrency=max_concurrency,
            wait=wait,
            timeout_secs=timeout_secs,
        )

        create_run_request.additional_properties = d
        return create_run_request

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
