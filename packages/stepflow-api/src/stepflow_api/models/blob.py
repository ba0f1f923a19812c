# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Blob")


@_attrs_define
class Blob:
    """A stored blob."""

    data: Any
    """ The data, any JSON value; null for raw bytes, which have to be asked for as such. """
    blob_type: str
    """ `data`, `flow` or `binary`. """
    blob_id: str
    """ The SHA-256 of the content, 64 hexadecimal digits. """
    filename: str | Unset = UNSET
    """ The file name, if one was stored. """
    content_type: str | Unset = UNSET
    """ The content type the bytes were sent with. Absent for JSON data and for bytes without a file name. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        data = self.data

        blob_type = self.blob_type

        blob_id = self.blob_id

        filename = self.filename

        content_type = self.content_type

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "data": data,
                "blobType": blob_type,
                "blobId": blob_id,
            }
        )
        if filename is not UNSET:
            field_dict["filename"] = filename
        if content_type is not UNSET:
            field_dict["contentType"] = content_type

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        data = d.pop("data")

        blob_type = d.pop("blobType")

        blob_id = d.pop("blobId")

        filename = d.pop("filename", UNSET)

        content_type = d.pop("contentType", UNSET)

        blob = cls(
            data=data,
            blob_type=blob_type,
            blob_id=blob_id,
            filename=filename,
            content_type=content_type,
        )

        blob.additional_properties = d
        return blob

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
