"""A link by which another browser can open a page."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from stepflow_client import InvalidArgumentError

from ..security import form_fields, page_path
from ..site import site_of


async def create_link(request: Request) -> Response:
    """Show a link to a page with the token for the next browser. The guard has already accepted the form's token."""
    to = form_fields(request).get("to", "")
    if page_path(to) is None:
        raise InvalidArgumentError("the form names no page")
    state = request.app.state
    link = f"{request.base_url}?{urlencode({'token': state.sessions.token, 'to': to})}"
    return site_of(request).page(request, "link", link=link, to=to, is_exposed=state.addresses.is_exposed)
