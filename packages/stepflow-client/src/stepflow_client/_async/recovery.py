"""Detecting runs that will never end."""

from __future__ import annotations

from .._rules.creation import RunRegistries
from ..errors import UnsupportedByServerError
from .connection import Connection


class RecoveryCheck:
    """Detects runs that will never end.

    Args:
        connection: The connection.
        registries: The runs that this client has created.
    """

    def __init__(self, connection: Connection, registries: RunRegistries) -> None:
        self._connection = connection
        self._registries = registries

    async def check(self, run_id: str, began: float) -> None:
        """Raise if a run was created before its server became unreachable, and the server does not resume runs.

        Args:
            run_id: A run that has not ended.
            began: When waiting for the run began, by `time.monotonic()`.

        Raises:
            UnsupportedByServerError: If the run will not end.
        """
        gone_at = self._connection.last_unreachable_at
        created = self._registries.current.owned_since(run_id)
        if gone_at is None or gone_at < (began if created is None else min(began, created)):
            return
        server = await self._connection.server()
        if not server.capabilities["recovery"]:
            raise UnsupportedByServerError(
                f"run {run_id} will not end: its server was started again, and "
                f"{server.release or server.dialect} does not resume runs",
                run_id=run_id,
                hint="servers of 0.10 and newer do",
            )
