"""The ASGI application behind `stepflow ui`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from stepflow_client import StepflowClient, StepflowClientError
from stepflow_client._command import RunReader, SnapshotReader
from stepflow_client.drawing.charts import CHART_STYLE
from stepflow_client.drawing.json_tree import TREE_STYLE
from stepflow_client.drawing.page_frame import LOGO, STATUS_STYLE, THEME_STYLE
from stepflow_client.drawing.svg import GRAPH_STYLE

from ..server.host_origin_checks import AcceptedAddresses
from ..settings.run_history import LazyRunHistory
from .flow_folder import FlowFolder
from .graphs_and_timelines import draw_flow_graph
from .run_followers import RunFollowers, ServerHealth
from .run_list import RunFinder, RunListCache
from .security import CHECK_PATH, FormTokens, RequestGuard, Sessions
from .site_state import Site, build_template_environment, get_site
from .views import actions, change, compare, flows, live, run, runs, save_case, values

_STATIC_FOLDER = Path(__file__).parent / "static"
_WARM_UP_FLOW = {"steps": [{"id": "a", "component": "/a"}], "output": {"$step": "a"}}
_CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class _RunIdPrefixConvertor(Convertor[str]):
    """Matches a run ID prefix (as accepted on the command line), but not a full run ID."""

    regex = "[0-9A-Fa-f-]{4,35}"

    def convert(self, value: str) -> str:
        return value.lower()

    def to_string(self, value: str) -> str:
        return value


async def _serve_static_file(request: Request) -> Response:
    # Files are served from memory, so no part of a request is ever used as a file path.
    content, media_type = request.app.state.files.get(request.path_params["name"], (None, ""))
    if content is None:
        return Response("no such file", 404, media_type="text/plain")
    return Response(content, media_type=media_type)


register_url_convertor("prefix", _RunIdPrefixConvertor())
_ROUTES = [
    Route("/", runs.redirect_to_landing_page),
    Route("/runs", runs.runs_page),
    Route("/runs/chosen", actions.act_on_selected_runs, methods=["POST"]),
    Route("/runs/{prefix:prefix}", runs.redirect_run_id_prefix),
    Route("/runs/{prefix:prefix}/{rest:path}", runs.redirect_run_id_prefix),
    Route("/runs/{run_id}", run.run_page),
    Route("/runs/{run_id}/items/{index:int}", run.item_page),
    Route("/runs/{run_id}/steps/{step:path}", run.step_page),
    Route("/runs/{run_id}/value", values.value_page),
    Route("/runs/{run_id}/output.json", values.stream_value_json),
    Route("/runs/{run_id}/flow", run.run_flow_page),
    Route("/runs/{run_id}/cancel", actions.cancel_run, methods=["POST"]),
    Route("/runs/{run_id}/rerun", actions.rerun_failed_parts, methods=["POST"]),
    Route("/runs/{run_id}/report.html", run.download_run_report),
    Route("/runs/{run_id}/change", change.change_form_page),
    Route("/runs/{run_id}/change", change.plan_or_run_change, methods=["POST"]),
    Route("/runs/{run_id}/compare", compare.compare_runs_page),
    Route("/runs/{run_id}/keep", save_case.preview_saved_case),
    Route("/runs/{run_id}/keep", save_case.write_case_to_file, methods=["POST"]),
    Route("/reruns/{key}", actions.started_runs_page),
    Route("/flows", flows.flows_page),
    Route("/flows", flows.store_flow, methods=["POST"]),
    Route("/flows/new", flows.new_flow_page),
    Route(CHECK_PATH, flows.check_flow_while_typing, methods=["POST"]),
    Route("/flows/{flow_id}", flows.flow_page),
    Route("/flows/{flow_id}/start", flows.start_flow, methods=["POST"]),
    Route("/components", flows.components_page),
    Route("/link", actions.show_access_link, methods=["POST"]),
    Route("/live", live.stream_server_health),
    Route("/live/runs", live.stream_run_list_changes),
    Route("/live/runs/{run_id}", live.stream_run_changes),
    Route("/live/reruns/{key}", live.stream_rerun_changes),
    Route("/static/{name}", _serve_static_file),
]


def build_application(
    create_client: Callable[[], StepflowClient],
    history: LazyRunHistory,
    folder: FlowFolder | None,
    addresses: AcceptedAddresses,
    sessions: Sessions,
    stopping: asyncio.Event,
) -> ASGIApp:
    """Return the ASGI application.

    Args:
        create_client: Creates the client that the pages use to talk to the server. The client is closed on shutdown.
        history: The history where the client records the runs it starts.
        folder: The folder of flow files to show, if any.
        addresses: The hosts and origins to accept requests for.
        sessions: The browser sessions that have access to the pages.
        stopping: An event that ends all streams once it's set.
    """
    forms = FormTokens()

    async def render_error(request: Request, error: Exception) -> Response:
        return get_site(request).render_error_page(request, error)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with create_client() as opened:
            health = ServerHealth(opened)
            runs = RunReader(opened._connection, as_sent=True)
            snapshots = SnapshotReader(opened._services, runs)
            followers = RunFollowers(opened, health, snapshots)
            app.state.site = Site(
                opened, snapshots, build_template_environment(), forms, followers, health, RunListCache(opened),
                RunFinder(opened), history=history, flows=folder,
            )  # fmt: skip
            # The first graph takes about a second to draw, so draw one at startup, before anyone opens a run.
            warming = asyncio.create_task(run_in_threadpool(draw_flow_graph, _WARM_UP_FLOW))
            try:
                yield
            finally:
                await followers.close()
                await warming

    handlers = {StepflowClientError: render_error, 404: render_error}
    app = Starlette(routes=_ROUTES, lifespan=lifespan, exception_handlers=handlers)
    app.state.files, app.state.stopping = _load_static_files(), stopping
    app.state.sessions, app.state.addresses = sessions, addresses
    # Compressing pages can't leak form tokens (the BREACH attack), because every page has a different token and
    # browsers don't send the session cookie with cross-site requests. Event streams aren't compressed.
    small = GZipMiddleware(app, minimum_size=1_000, compresslevel=4)

    async def compress_except_values(scope: Scope, receive: Receive, send: Send) -> None:
        # When the browser is on the local machine, sending 50 MB uncompressed is faster than compressing it first.
        is_value = scope["type"] == "http" and scope["path"].endswith("/output.json")
        await (app if is_value else small)(scope, receive, send)

    return RequestGuard(compress_except_values, addresses, sessions, forms)


def _load_static_files() -> dict[str, tuple[bytes, str]]:
    files = {}
    for path in _STATIC_FOLDER.iterdir():
        if path.suffix in _CONTENT_TYPES:
            # Strip indentation and comment lines.
            lines = [line.strip() for line in path.read_text().splitlines()]
            text = "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
            files[path.name] = text.encode(), _CONTENT_TYPES[path.suffix]
    # Every page loads `ui.css`, and every page except the list of runs also loads `more.css`. `base.css` comes first so
    # that the other files can override it.
    first = [files.pop(name)[0] for name in ("base.css", "live.css")]
    others = [files.pop(path.name)[0] for path in sorted(_STATIC_FOLDER.glob("*.css")) if path.name in files]
    files["ui.css"] = (b"".join([(THEME_STYLE + STATUS_STYLE).encode(), *first]), "text/css")
    files["more.css"] = (b"".join([(GRAPH_STYLE + CHART_STYLE + TREE_STYLE).encode(), *others]), "text/css")
    files["icon.svg"] = (LOGO.encode(), _CONTENT_TYPES[".svg"])
    return files


def build_access_link(host: str, port: int, token: str, run_id: str | None = None) -> str:
    """Return a link to the list of runs, or to the page for `run_id`.

    The token in the link only works for one browser.
    """
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}{f'&run={run_id}' if run_id else ''}"
