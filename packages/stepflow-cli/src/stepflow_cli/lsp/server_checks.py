"""The checks of a Stepflow server, for flows that are saved: those of `validate`, if the user has named a server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from stepflow_client import StepflowClientError, SyncStepflowClient
from stepflow_client.flows.source import FlowText

from ..errors import Problem
from ..server.connect import Target, client_settings
from ..settings.history import CommandHistory
from ..settings.server_choice import ServerChoice, ServerOptions, choose_server
from ..validation.checks import Checked, ask_server, check_components
from .analysis import Analysis

log = logging.getLogger(__name__)


class ServerChecks:
    """Asks the server that the environment, a profile or the editor's settings name; a project cannot name one."""

    def __init__(self) -> None:
        self.url: str | None = None
        """The server in the editor's settings."""
        self._is_stopped = False
        self._open: set[SyncStepflowClient] = set()
        self._failure = ""
        """What was logged last, so that it is not repeated at each save."""

    def check(self, analysis: Analysis) -> Checked | None:
        """Return a flow with the server's findings; None without a server, or if it does not answer, which is logged.

        It waits for the server: call it in a thread.
        """
        if analysis.kind != "flow" or analysis.root is None:
            return None
        # The tree of the analysis belongs to other threads.
        flow = FlowText(analysis.text.text, analysis.name)
        checked = Checked(analysis.name, analysis.rules, flow, list(analysis.findings))
        try:
            choice = choose_server(ServerOptions(url=self.url))
            if choice.is_embedded or not checked.is_readable:
                return None
            with self._connected(choice) as target:
                check_components([checked], target)
                ask_server(checked, target.client)
        except (Problem, StepflowClientError) as error:
            self._report(f"saved flows are not checked by the server: {error}")
            return None
        self._failure = ""
        checked.findings = [each for each in checked.findings if checked.rules.keeps(each.rule)]
        checked.records = [dict(each) for each in checked.kept(checked.records)]
        return checked

    @contextmanager
    def _connected(self, choice: ServerChoice) -> Iterator[Target]:
        arguments = client_settings(choice)
        with SyncStepflowClient(**arguments) as client:
            self._open.add(client)
            try:
                yield Target(client, choice, CommandHistory(), arguments=arguments)
            finally:
                self._open.discard(client)

    def _report(self, message: str) -> None:
        if message != self._failure and not self._is_stopped:
            self._failure = message
            log.warning("%s", message)

    def stop(self) -> None:
        """End the requests that are waiting."""
        self._is_stopped = True
        for client in [*self._open]:
            client.close()
