# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import StrEnum

_unknown: "dict[str, GetBlobAccept]" = {}


class GetBlobAccept(StrEnum):
    """The form of the answer, `application/json` (the default) or `application/octet-stream`.

    A word that is not listed here becomes a member named ``UNKNOWN``.
    """

    JSON = "application/json"
    BYTES = "application/octet-stream"

    @classmethod
    def _missing_(cls, value: object) -> "GetBlobAccept | None":
        # A newer server's word must not cost the caller the whole answer.
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = "UNKNOWN"
        member._value_ = value
        # Kept, so that the same word is always the same object.
        return _unknown.setdefault(value, member)
