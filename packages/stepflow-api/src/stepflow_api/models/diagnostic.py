# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.diagnostic_level import DiagnosticLevel
from ..types import UNSET, Unset

T = TypeVar("T", bound="Diagnostic")


@_attrs_define
class Diagnostic:
    """One finding about a flow."""

    kind: str
    """ The kind of finding, a word in camel case. """
    code: int
    """ The number of the kind. """
    level: DiagnosticLevel
    """ How bad a finding is - 1 fatal (the flow is not stored), 2 error, 3 warning. """
    formatted: str
    """ The finding in one sentence. """
    path: str
    """ The place in the flow, as a JSONPath. """
    experimental: bool
    """ Whether the check behind the finding is still being tried out. """
    data: Any | Unset = UNSET
    """ The details of the finding, an object whose keys depend on the kind. Absent if there are none. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        kind = self.kind

        code = self.code

        level = self.level.value

        formatted = self.formatted

        path = self.path

        experimental = self.experimental

        data = self.data

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "kind": kind,
                "code": code,
                "level": level,
                "formatted": formatted,
                "path": path,
                "experimental": experimental,
            }
        )
        if data is not UNSET:
            field_dict["data"] = data

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        kind = d.pop("kind")

        code = d.pop("code")

        level = DiagnosticLevel(d.pop("level"))

        formatted = d.pop("formatted")

        path = d.pop("path")

        experimental = d.pop("experimental")

        data = d.pop("data", UNSET)

        diagnostic = cls(
            kind=kind,
            code=code,
            level=level,
            formatted=formatted,
            path=path,
            experimental=experimental,
            data=data,
        )

        diagnostic.additional_properties = d
        return diagnostic

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
