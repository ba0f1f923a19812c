# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from enum import IntEnum

_unknown: "dict[int, RunStatus]" = {}


class RunStatus(IntEnum):
    """The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could
    not be recovered after a crash of the server.

    A number that is not listed here becomes a member named ``UNKNOWN_<number>``.
    """

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELLED = 4
    PAUSED = 5
    RECOVERY_FAILED = 6

    @classmethod
    def _missing_(cls, value: object) -> "RunStatus | None":
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
