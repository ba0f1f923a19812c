# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="FlowVariable")


@_attrs_define
class FlowVariable:
    """What a flow says about one of its variables."""

    required: bool
    """ Whether a run must give a value. """
    default_value: Any | Unset = UNSET
    """ The value if a run gives none, any JSON value; empty text for secrets. Absent if there is no default. """
    env_var: str | Unset = UNSET
    """ The environment variable meant to fill it. Absent if the flow names none. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        required = self.required

        default_value = self.default_value

        env_var = self.env_var

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "required": required,
            }
        )
        if default_value is not UNSET:
            field_dict["defaultValue"] = default_value
        if env_var is not UNSET:
            field_dict["envVar"] = env_var

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        required = d.pop("required")

        default_value = d.pop("defaultValue", UNSET)

        env_var = d.pop("envVar", UNSET)

        flow_variable = cls(
            required=required,
            default_value=default_value,
            env_var=env_var,
        )

        flow_variable.additional_properties = d
        return flow_variable

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
