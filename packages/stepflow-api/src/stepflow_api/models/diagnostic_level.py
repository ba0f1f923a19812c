# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import IntEnum

_unknown: "dict[int, DiagnosticLevel]" = {}


class DiagnosticLevel(IntEnum):
    """How bad a finding is - 1 fatal (the flow is not stored), 2 error, 3 warning.

    A number that is not listed here becomes a member named ``UNKNOWN_<number>``.
    """

    FATAL = 1
    ERROR = 2
    WARNING = 3

    @classmethod
    def _missing_(cls, value: object) -> "DiagnosticLevel | None":
        # A newer server's number must not cost the caller the whole answer.
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}".replace("-", "NEGATIVE_")
        member._value_ = value
        # Kept, so that the same number is always the same object.
        return _unknown.setdefault(value, member)

    def __str__(self) -> str:
        return str(self.value)
