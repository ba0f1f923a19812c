"""The pages refuse forged requests, escape hostile values and never show credentials (on a real server)."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from stepflow_client import StepflowRuntime

from tests.cli.runs import SLEEPING
from tests.cli.ui.process import StartUi, Ui, form

PAGES = (
    "/", "/runs", "/flows", "/flows/new", "/components", "/live", "/runs/x", "/nothing", "/runs/x/steps/y",
    "/runs/x/value", "/runs/x/output.json", "/runs/x/change", "/runs/x/compare?with=y", "/runs/x/keep",
    "/runs/x/report.html", "/reruns/x", "/live/reruns/x", "/runs?q=x", "/runs/01a21acb", "/runs/01a21acb/flow",
    "/live/runs",
)  # fmt: skip
HOSTS = ("evil.example", "evil.example:{port}", "127.0.0.1.nip.example:{port}", "127.0.0.1:1")
COOKIES = ("", "stepflow_ui_{port}=", "stepflow_ui_{port}=guessed", "other=1; x", "=;=,\x01")
LONG = {"name": "long", "steps": [SLEEPING], "output": {"$step": "sleeping"}}


@pytest.fixture
def running(newest_server: StepflowRuntime) -> str:
    return newest_server.sync_client.submit(LONG)


# The check does not depend on the path, so each path is tried with only one of the hosts.
@pytest.mark.parametrize(("path", "host"), [*zip([*PAGES, "/static/ui.js", "/?token=x"], cycle(HOSTS), strict=False)])
def test_foreign_host_is_refused(session: httpx.Client, path: str, host: str) -> None:
    host = host.format(port=session.base_url.port)
    refused = session.get(path, headers={"host": host})
    assert refused.status_code == 403
    assert "default-src 'none'" in refused.headers["content-security-policy"]


def test_duplicate_or_missing_host_is_refused(ui: Ui) -> None:
    url = httpx.URL(ui.base)
    for heads in (b"", f"Host: {url.netloc.decode()}\r\nHost: evil.example\r\n".encode()):
        with socket.create_connection((url.host, url.port or 0)) as connection:
            connection.sendall(b"GET /static/ui.css HTTP/1.1\r\nConnection: close\r\n" + heads + b"\r\n")
            response = b"".join(iter(lambda: connection.recv(65536), b""))
        assert response.split()[1] in (b"400", b"403"), response[:200]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost", "https://127.0.0.1:{port}"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_origin_is_refused(session: httpx.Client, running: str, origin: str, method: str) -> None:
    path = f"/runs/{running}/cancel" if method == "POST" else "/runs"
    token = form(session.get(f"/runs/{running}"), f"/runs/{running}/cancel")
    headers = {"origin": origin.format(port=session.base_url.port)}
    assert session.request(method, path, data=token, headers=headers).status_code == 403


def test_form_sent_by_another_site_is_refused(session: httpx.Client, running: str) -> None:
    token = form(session.get(f"/runs/{running}"), f"/runs/{running}/cancel")
    path = f"/runs/{running}/cancel"
    assert session.post(path, data=token, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert session.post(path, data=token, headers={"origin": str(session.base_url)}).status_code == 303


@pytest.mark.parametrize(("path", "cookie"), [*zip(PAGES, cycle(COOKIES), strict=False)])
def test_pages_require_a_session(ui: Ui, path: str, cookie: str) -> None:
    headers = {"cookie": cookie.format(port=httpx.URL(ui.base).port)} if cookie else {}
    refused = httpx.get(ui.base + path, headers=headers, trust_env=False, verify=False)
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("token", ["", "x", "%00", "%ff", "a" * 5000])
def test_wrong_token_is_refused(ui: Ui, token: str) -> None:
    refused = httpx.get(f"{ui.base}/?token={token}", trust_env=False, verify=False)
    assert refused.status_code in (401, 403)
    assert "set-cookie" not in refused.headers


def test_token_works_in_one_browser_only(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    ui = start_ui(newest_server.url)
    with ui.browser() as first:
        again = httpx.get(ui.link, trust_env=False, verify=False)
        assert again.status_code == 403
        assert "set-cookie" not in again.headers
        other = ui.next_link()
        assert other != ui.link
        with ui.browser(other) as second:
            assert first.get("/runs").status_code == second.get("/runs").status_code == 200
        (cookie,) = first.cookies.jar
        assert cookie.value not in ui.link
        opened = httpx.get(ui.next_link(), trust_env=False, verify=False)
    values = opened.headers["set-cookie"].lower()
    assert "httponly" in values
    assert "samesite=strict" in values


def test_forms_with_missing_wrong_or_used_tokens_are_refused(session: httpx.Client, running: str, ui: Ui) -> None:
    path = f"/runs/{running}/cancel"
    page = session.get(f"/runs/{running}")
    token = form(page, path)
    elsewhere = form(session.get("/flows/new"), "/flows")
    for data in ({"other": ""}, {"csrf": ""}, {"csrf": "x"}, elsewhere):
        assert session.post(path, data=data).status_code == 403
    assert session.post(f"{path}?csrf={token['csrf']}").status_code in (400, 403)
    assert session.post(path, data=token).status_code == 303
    assert session.post(path, data=token).status_code == 403


@pytest.fixture
def failed(session: httpx.Client, newest_server: StepflowRuntime) -> str:
    """A failed run started from the pages, so its input is in the history."""
    flow = {"name": "fails", "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$.x"}}]}
    flow_id = newest_server.sync_client.store_flow({**flow, "output": {"$step": "a"}}).flow_id
    path = f"/flows/{flow_id}/start"
    started = session.post(path, data={**form(session.get(f"/flows/{flow_id}"), path), "raw": "{}"})
    run_id = started.headers["location"].rpartition("/")[2]
    newest_server.sync_client.wait_run(run_id, timeout=60)
    return run_id


@pytest.mark.parametrize(("action", "values"), [("change", {"do": "run"}), ("change", {"do": "try"}), ("keep", {})])
def test_change_and_keep_require_their_own_unused_token(
    session: httpx.Client, ui: Ui, failed: str, newest_server: StepflowRuntime, action: str, values: dict[str, str]
) -> None:
    client = newest_server.sync_client
    path = f"/runs/{failed}/{action}"
    cancel = f"/runs/{client.submit(LONG)}"
    elsewhere = form(session.get(cancel), f"{cancel}/cancel")
    before = client.list_runs(limit=1).runs[0].run_id
    for data in ({}, {"csrf": ""}, {"csrf": "x"}, elsewhere):
        assert session.post(path, data={**data, **values}).status_code in (400, 403)
    assert httpx.post(ui.base + path, data=values, trust_env=False, verify=False).status_code == 401
    if action == "change":
        token = form(session.get(path), path)
        crossed = session.post(path, data={**token, **values}, headers={"sec-fetch-site": "cross-site"})
        assert crossed.status_code == 403
        foreign = session.post(path, data={**token, **values}, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403
        other = form(session.get(path), path)["csrf"]
        assert session.post(f"/runs/{failed}/keep", data={"csrf": other}).status_code == 403
    assert client.list_runs(limit=1).runs[0].run_id == before
    if action == "change":
        assert session.post(path, data={**token, **values}).status_code == 303
        assert session.post(path, data={**token, **values}).status_code == 403
    client.cancel_run(cancel.rpartition("/")[2])


def test_get_requests_start_no_runs(session: httpx.Client, failed: str, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    before = [run.run_id for run in client.list_runs(limit=5).runs]
    for path in (
        f"/runs/{failed}/change?do=run&start=all", f"/runs/{failed}/change?step=a&do=try&tried={failed}",
        f"/runs/{failed}/keep?name=x&file=y&digest=z&kept=x", f"/runs/{failed}/compare?with={failed}",
        f"/runs/{failed}/report.html",
    ):  # fmt: skip
        assert session.get(path).status_code == 200, path
    assert [run.run_id for run in client.list_runs(limit=5).runs] == before


@pytest.mark.parametrize(
    "path", ["compare?with={other}", "change?step={other}", "change?group={other}", "keep?item={other}"]
)
@pytest.mark.parametrize(
    "value", ["..%2f..%2fetc", "%00", "%0d%0aset-cookie:a=b", "<script>", "a" * 3000, "-1", "9" * 50]
)
def test_invalid_query_values_are_refused(session: httpx.Client, failed: str, path: str, value: str) -> None:
    response = session.get(f"/runs/{failed}/{path.format(other=value)}")
    assert response.status_code in (400, 404), response.status_code
    assert "set-cookie" not in response.headers
    assert "<script>" not in response.text.replace('<script src="/static/ui.js" type="module">', "")


def test_actions_do_not_accept_get_requests(
    session: httpx.Client, running: str, newest_server: StepflowRuntime
) -> None:
    for path in (f"/runs/{running}/cancel", f"/runs/{running}/rerun", "/flows/x/start"):
        assert session.get(path).status_code == 405
    assert newest_server.sync_client.get_run(running).status == "running"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(session: httpx.Client, method: str) -> None:
    refused = session.request(method, "/runs", headers={"access-control-request-method": "POST"})
    assert refused.status_code == 405
    assert not [name for name in refused.headers if name.startswith("access-control")]


@pytest.mark.parametrize("values", [{"raw": json.dumps({"name": "a" * 41 + "!"})}, {}])
def test_catastrophic_pattern_does_not_hang_the_check(
    session: httpx.Client, newest_server: StepflowRuntime, values: dict[str, str]
) -> None:
    input_schema = {"type": "object", "properties": {"name": {"type": "string", "pattern": r"^(\w+\s?)*$"}}}
    flow = {"name": "words", "steps": [], "output": 1, "schemas": {"properties": {"input": input_schema}}}
    flow_id = newest_server.sync_client.store_flow(flow).flow_id
    page, path = session.get(f"/flows/{flow_id}"), f"/flows/{flow_id}/start"
    (name,) = set(re.findall(r'name="(input[^"]*)"', page.text))
    fields = values or {name: "a" * 41 + "!"}
    refused = session.post(path, data={**form(page, path), **fields})
    assert refused.status_code == 400
    assert "matches" in refused.text
    assert session.get("/runs").status_code == 200


def test_oversized_form_is_refused(session: httpx.Client) -> None:
    token = form(session.get("/flows/new"), "/flows")
    assert session.post("/flows", data={**token, "text": "x" * (17 * 2**20)}).status_code == 413


def test_truncated_form_has_no_effect(ui: Ui, session: httpx.Client, running: str) -> None:
    url, path = httpx.URL(ui.base), f"/runs/{running}/cancel"
    token = form(session.get(f"/runs/{running}"), path)
    cookie = "; ".join(f"{each.name}={each.value}" for each in session.cookies.jar)
    head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nCookie: {cookie}\r\nContent-Length: 9999\r\n"
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{urlencode(token)}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536) == b""
    # The token is still unused.
    assert session.post(path, data=token).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/..%5capp.py",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/....//app.py", "/static/", "/static/.",
        "/static/ui.js/../../app.py", "/static/ui.js%00.css", "/static/base.html", "/static/../templates/base.html",
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
    ],
)  # fmt: skip
def test_path_traversal_is_refused(ui: Ui, session: httpx.Client, path: str) -> None:
    url = httpx.URL(ui.base)
    cookie = "; ".join(f"{each.name}={each.value}" for each in session.cookies.jar)
    with socket.create_connection((url.host, url.port or 0)) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    assert response.split()[1] == b"404", response[:300]
    assert b"root:" not in response
    assert b"import " not in response


def test_every_response_has_security_headers(session: httpx.Client) -> None:
    for path in (*PAGES[:5], "/nothing", "/static/ui.js", "/static/none"):
        response = session.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers


HOSTILE = [
    "<script>document.title='stolen'</script>", "\"><img src=x onerror=alert(1)>", "'\"`=<>&", "</pre></details><b>",
    "{{ 1234*5678 }}", "{% raw %}", "javascript:alert(1)", "\u202egnp.exe", "\x1b[31mred", "<!--", "]]>", "&lt;b&gt;",
    "宽" * 300,
]  # fmt: skip


def hostile_names(count: int) -> list[str]:
    dice = random.Random(7)
    return ["".join(dice.choices(HOSTILE, k=dice.randrange(1, 3))) + str(number) for number in range(count)]


@pytest.mark.exhaustive
def test_hostile_names_are_shown_as_text(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    """Covers the names of flows and steps, outputs, errors, descriptions, titles and keys."""
    client = newest_server.sync_client
    hostile = hostile_names(400)
    pages: list[str] = []
    for start in range(0, 400, 100):
        some = hostile[start : start + 100]
        steps: list[dict[str, Any]] = [
            {"id": name, "component": "/builtin/noop", "input": {name: name}, "mustExecute": True} for name in some[:40]
        ]
        steps.append({"id": "last", "component": "/builtin/noop", "input": {"$input": some[40].replace("$", "")}})
        schema = {
            "type": "object",
            "required": [some[41]],
            "properties": {
                name: {"title": name, "description": name, "enum": [name, some[99]]} for name in some[41:60]
            },
        }
        flow = {
            "name": some[0],
            "description": some[1],
            "schemas": {"properties": {"input": schema}},
            "steps": steps,
            "output": {name: {"$step": "last"} if name == some[60] else name for name in some[60:99]},
            "examples": [{"name": name, "input": {name: name}} for name in some[41:60]],
        }
        run = client.wait_run(client.submit(flow, {some[5]: some[6]}, check_input=False), timeout=60)
        batch = client.wait_run(client.submit(flow, [{some[5]: some[6]}, {}], check_input=False), timeout=60)
        stored = client.store_flow(flow)
        for path in (
            f"/runs/{run.run_id}", f"/runs/{run.run_id}/items/0", f"/runs/{run.run_id}/flow",
            f"/runs/{run.run_id}?panel=run", f"/runs/{run.run_id}?show=all", f"/runs/{run.run_id}/steps/last",
            *(f"/runs/{run.run_id}/steps/{quote(name, safe='')}?part=panel" for name in some[:3]),
            f"/runs/{run.run_id}/value?step=last&of=input&find={quote(some[40])}",
            f"/flows/{stored.flow_id}", "/runs", "/flows", f"/runs?{urlencode({'q': some[0]})}",
            f"/runs/{batch.run_id}",
        ):  # fmt: skip
            page = session.get(path)
            assert page.status_code == 200, (path, page.text[:500])
            pages.append(page.text)
    for text in pages:
        check_markup(text)


def check_markup(text: str) -> None:
    """Check that a page contains only the elements, scripts and links of its templates."""
    elements = Elements()
    elements.feed(text)
    assert elements.names <= ALLOWED_ELEMENTS, elements.names - ALLOWED_ELEMENTS
    scripts = ["/static/more.js"] if "/static/more.css" in text else []
    assert elements.scripts == ([] if "<header>" not in text else [*scripts, "/static/ui.js"])
    assert not [name for name in elements.attributes if name.startswith("on") or name == "style"]
    assert all(each.startswith(("/", "?", "#")) for each in elements.links), elements.links
    # Form fields keep their values unescaped, so ignore them.
    shown = re.sub(r' value="[^"]*"|<textarea[^>]*>[^<]*</textarea>', "", text)
    assert not {"\u202e", "\x1b"} & set(shown)
    assert elements.texts.isdisjoint({"7006652"})


@pytest.fixture(scope="module")
def hostile(
    start_ui: StartUi, newest_server: StepflowRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, httpx.Client]]:
    """A folder of flows, and a browser on the pages started with it."""
    folder = tmp_path_factory.mktemp("hostile")
    with start_ui(newest_server.url, "--flows", str(folder)).browser() as browser:
        yield folder, browser


@pytest.mark.parametrize(
    "name", [*HOSTILE[:5], *(pytest.param(each, marks=pytest.mark.exhaustive) for each in HOSTILE[5:])]
)
def test_hostile_names_on_the_change_compare_and_keep_pages(
    hostile: tuple[Path, httpx.Client], newest_server: StepflowRuntime, name: str
) -> None:
    folder, browser = hostile
    client = newest_server.sync_client
    schema = {
        "type": "object",
        "title": name,
        "properties": {
            name: {"type": "object", "title": name, "properties": {name: {"type": "string", "description": name}}},
            "rows": {
                "type": "array",
                "title": name,
                "items": {"type": "object", "properties": {name: {"enum": [name, 1]}, "b": {"type": "boolean"}}},
            },
            "text": {"type": "string", "pattern": name, "examples": [name], "default": name},
        },
    }
    flow = {
        "name": name,
        "schemas": {"properties": {"input": schema}},
        "steps": [
            {"id": name, "component": "/builtin/noop", "input": {name: {"$input": "$.none"}}},
            {"id": "b", "component": "/builtin/noop", "input": {name: name}},
        ],
        "output": [{"$step": name}, {"$step": "b"}],
    }
    (folder / "a<b>'&.json").write_text(json.dumps(flow))
    (folder / "never.json").write_text(json.dumps({**flow, "name": f"{name}never"}))
    flow_id = client.store_flow(flow).flow_id
    path = f"/flows/{flow_id}"
    data = form(browser.get(path), f"{path}/start") | {"raw": json.dumps({name: {name: name}})}
    runs = []
    for _ in range(2):
        token = form(browser.get(path), f"{path}/start")
        run = browser.post(f"{path}/start", data=data | token).headers["location"]
        client.wait_run(run.rpartition("/")[2], timeout=60)
        runs.append(run)
    change = f"{runs[0]}/change"
    token = form(browser.get(change), change)
    pages = [
        browser.get(each)
        for each in (
            path, "/flows", f"/flows?q={quote(name)}", f"/flows/new?file={quote(name)}", change,
            f"{change}?step={quote(name)}", f"{runs[0]}/keep", f"{runs[0]}/keep?name={quote(name)}",
            f"{runs[0]}/compare?with={runs[1].rpartition('/')[2]}", f"/flows/{flow_id}?again={runs[0][6:]}",
        )
    ]  # fmt: skip
    pages.append(browser.post(change, data={**token, "do": "plan", "overrides": name, "step": name}))
    for page in pages:
        assert page.status_code in (200, 400), page.text
        check_markup(page.text)


ALLOWED_ELEMENTS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "strong", "p", "main",
    "section", "h1", "h2", "dl", "div", "dt", "dd", "b", "form", "input", "button", "select", "option", "label",
    "textarea", "code", "pre", "span", "ul", "li", "ol", "details", "summary", "table", "thead", "tbody", "tr",
    "th", "td", "fieldset", "legend", "svg", "g", "rect", "path", "text", "line", "defs", "marker",
    "time", "h3", "circle", "template", "use", "datalist",
}  # fmt: skip


class Elements(HTMLParser):
    """Collects the elements, attributes, scripts, links and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str | None] = []
        self.links: list[str] = []
        self.texts: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if (tag, attributes.get("src")) == ("img", "/static/icon.svg"):
            return
        self.names.add(tag)
        self.attributes.update(attributes)
        if tag == "script":
            self.scripts.append(attributes.get("src"))
        self.links += [attributes[name] or "/" for name in ("href", "action", "src") if name in attributes]

    def handle_data(self, data: str) -> None:
        self.texts.add(data.strip())


def test_credentials_are_never_shown(start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path) -> None:
    url = newest_server.url.replace("://", "://ada:pa55word@")
    ui = start_ui(url, STEPFLOW_TOKEN="t0psecret")
    outputs = [ui.link]
    with ui.browser() as browser:
        for path in (*PAGES[1:5], "/runs/0197aaaa-0000-7000-8000-000000000000", "/runs/x", "/flows/x"):
            response = browser.get(path)
            outputs.append(f"{response.headers} {response.text}")
    ui.process.terminate()
    _, printed = ui.process.communicate(timeout=60)
    outputs.append(printed)
    for text in outputs:
        assert "pa55word" not in text
        assert "t0psecret" not in text
