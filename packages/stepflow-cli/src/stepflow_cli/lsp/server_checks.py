"""The checks of a Stepflow server for saved flows, as in `validate`, if the user has configured a server."""

from __future__ import annotations

import logging

from stepflow_client import StepflowClientError, SyncStepflowClient
from stepflow_client.flows.source import FlowText

from ..errors import Problem
from ..server.connect import Target, build_client_arguments
from ..settings.history import CommandHistory
from ..settings.server_choice import ServerOptions, choose_server
from ..validation.flow_checks import CheckedFlow, check_on_server, check_with_components
from .analysis import Analysis

log = logging.getLogger(__name__)


class ServerChecks:
    """Queries the server of the environment, a profile or the editor's settings; a project cannot name a server."""

    def __init__(self) -> None:
        self.url: str | None = None
        """The server in the editor's settings."""
        self._is_stopped = False
        self._clients: set[SyncStepflowClient] = set()
        self._failure = ""
        """The last message in the log, so that it is not repeated with each save."""

    def check(self, analysis: Analysis) -> CheckedFlow | None:
        """Return a flow with the server's findings; None without a server, or if it fails to respond, which is logged.

        This waits for the server: call it in a thread.
        """
        if analysis.kind != "flow" or analysis.root is None:
            return None
        # Other threads use the tree of the analysis.
        flow = FlowText(analysis.text.text, analysis.name)
        checked = CheckedFlow(analysis.name, analysis.rules, flow, list(analysis.findings))
        try:
            choice = choose_server(ServerOptions(url=self.url))
            if choice.is_embedded or not checked.is_readable:
                return None
            settings = build_client_arguments(choice)
            with SyncStepflowClient(**settings) as client:
                self._clients.add(client)
                try:
                    check_with_components([checked], Target(client, choice, CommandHistory(), arguments=settings))
                    check_on_server(checked, client)
                finally:
                    self._clients.discard(client)
        except (Problem, StepflowClientError) as error:
            message = f"saved flows are not checked by the server: {error}"
            if message != self._failure and not self._is_stopped:
                self._failure = message
                log.warning("%s", message)
            return None
        self._failure = ""
        checked.findings = [finding for finding in checked.findings if checked.rules.reports(finding.rule)]
        checked.records = [dict(record) for record in checked.filter_records(checked.records)]
        return checked

    def stop(self) -> None:
        """Abort the requests that are waiting."""
        self._is_stopped = True
        for client in [*self._clients]:
            client.close()
