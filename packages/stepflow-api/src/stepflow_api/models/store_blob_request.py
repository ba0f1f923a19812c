# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="StoreBlobRequest")


@_attrs_define
class StoreBlobRequest:
    """JSON data to store."""

    data: Any
    """ The data, any JSON value. """
    blob_type: str | Unset = UNSET
    """ `data` (the default), `flow` (the id can be run) or `binary`. Other words are refused. A flow is stored
    without being checked. """
    filename: str | Unset = UNSET
    """ A file name to keep with the data. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        data = self.data

        blob_type = self.blob_type

        filename = self.filename

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "data": data,
            }
        )
        if blob_type is not UNSET:
            field_dict["blobType"] = blob_type
        if filename is not UNSET:
            field_dict["filename"] = filename

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        data = d.pop("data")

        blob_type = d.pop("blobType", UNSET)

        filename = d.pop("filename", UNSET)

        store_blob_request = cls(
            data=data,
            blob_type=blob_type,
            filename=filename,
        )

        store_blob_request.additional_properties = d
        return store_blob_request

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
