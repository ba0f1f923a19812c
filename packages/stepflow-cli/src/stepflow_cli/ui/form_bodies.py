"""The bodies of forms that browsers send."""

from __future__ import annotations

from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from urllib.parse import parse_qsl

MAX_BODY_BYTES = 16 * 2**20
"""Maximum size of a form in bytes."""
_MAX_PARTS = 2_000


class MalformedFormError(ValueError):
    """The data is not a form."""


def read_form(content_type: str, body: bytes) -> Mapping[str, str]:
    """Return the fields of a form; the last one if a name occurs several times. A file is a field with its text.

    Raises:
        MalformedFormError: If it is not a form, not UTF-8, or has more than 2,000 fields.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            text = body.decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARTS))
        if kind == "multipart/form-data":
            return _parts(content_type, body)
    except (ValueError, LookupError) as error:
        raise MalformedFormError(str(error)) from None
    raise MalformedFormError(f"a form is urlencoded or multipart/form-data, not {kind or 'without a type'}")


def _parts(content_type: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii")
    message: Message = message_from_bytes(head + body, policy=HTTP)
    parts = message.get_payload()
    if not isinstance(parts, list) or len(parts) > _MAX_PARTS:
        raise MalformedFormError("it has no parts, or too many")
    fields = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        content = part.get_payload(decode=True) if isinstance(part, Message) else None
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode("utf-8-sig")
    return fields
