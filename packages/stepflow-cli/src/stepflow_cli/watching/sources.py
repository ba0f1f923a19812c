"""The files that a watched command reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

from stepflow_client.flows.flow_argument import is_flow_id

from ..inputs.flow import find_flow_project
from ..inputs.python_flow import is_python_flow, list_module_files
from ..settings.server_choice import ServerOptions, choose_server


def list_watched_files(flow: str, server: ServerOptions | None = None) -> Iterator[str]:
    """Yield a flow's files or folder, and the files that configure how it is checked and run.

    Args:
        flow: The flow's file, a folder of flows, or the id of a stored flow.
        server: The server options; with an embedded server, its configuration is included.

    Raises:
        Problem, FlowFileError: If the settings of the project are invalid.
    """
    if is_python_flow(flow):
        yield from list_module_files(flow)
    elif not is_flow_id(flow):
        yield flow
    project = find_flow_project(flow)
    for path in (project.file, project.components, project.test_config):
        if path is not None:
            yield str(path)
    if project.file is None and not is_flow_id(flow):
        # The file may be created while the command is watching.
        yield os.path.join(flow if os.path.isdir(flow) else os.path.dirname(flow), "stepflow.toml")
    choice = None if server is None else choose_server(server, flow)
    if choice is not None and choice.is_embedded and choice.config.value is not None:
        yield choice.config.value
