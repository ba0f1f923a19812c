"""All views of a run agree: status, counts, cause, steps, groups of failures and duration, in every state."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_cli.runs.follow_run import RunningRunsFollower
from stepflow_client import Keep, LogConfig, Progress, RunTimeoutError, StepflowRuntime, SyncStepflowClient
from stepflow_client._base.text_formatting import duration_text
from stepflow_client._rules.failure_groups import group_failures
from stepflow_client.history import History
from stepflow_client.types.run_explanation import format_state

from tests import releases, workers
from tests.cli.command import Stepflow
from tests.cli.mcp import agents
from tests.cli.terminal import Terminal
from tests.cli.ui.process import StartUi
from tests.server.flows import ECHO, SLEEP
from tests.server.planted_failures import BATCH, INPUT, PLANTED

pytestmark = [pytest.mark.exhaustive, pytest.mark.anyio, pytest.mark.timeout(900)]

SEED = 40
MARK = "^[✓✗▶■] "
Facts = dict[str, Any]
"""What a view shows of a run. Each view has some of these keys: `status`, `counts` of items, `took`, `cause` of
the first failed item, `steps` (state text by item and step ID), `totals` of the texts by step, `groups` of failures."""


def echo(name: str, value: Any) -> dict[str, Any]:
    return {"id": name, "component": ECHO, "input": value}


CHAIN: dict[str, Any] = {
    "name": "chain",
    "steps": [
        echo("read", {"card": {"$input": "card"}}),
        echo("charge", {"card": {"$step": "read", "path": "card"}, "user": {"$input": "user"}}),
        echo("ship", {"paid": {"$step": "charge"}}),
    ],
    "output": {"$step": "ship"},
}
SLOW: dict[str, Any] = {
    "name": "slow",
    "steps": [
        {"id": "sleep", "component": SLEEP, "input": {"seconds": {"$input": "seconds"}}},
        echo("after", {"slept": {"$step": "sleep"}, "x": {"$input": "x"}}),
        echo("last", {"after": {"$step": "after"}}),
    ],
    "output": {"$step": "last"},
}
MAP: dict[str, Any] = {
    "name": "map",
    "steps": [
        {
            "id": "each",
            "component": "/builtin/map",
            "input": {"items": {"$input": "items"}, "workflow": {"$literal": CHAIN}},
        }
    ],
    "output": {"$step": "each"},
}


class Runs:
    """Runs in every state, on one server."""

    def __init__(self, client: SyncStepflowClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    def run_to_end(self, name: str, flow: Mapping[str, Any], value: Any) -> str:
        run_id = self.ids[name] = self.client.submit(flow, value)
        self.client.wait_run(run_id, timeout=60)
        return run_id

    def make(self) -> dict[str, str]:
        """Start all runs and wait until only long steps are left, so no run changes while the views are read."""
        choice = random.Random(SEED)
        for name in [*choice.sample(sorted(set(PLANTED) - {"batch"}), 12), "batch", "map with failed items"]:
            planted = PLANTED[name]
            flow = {"name": name.replace(" ", "-"), "steps": planted.steps, "output": planted.output}
            self.run_to_end(name, flow, BATCH if planted.is_batch else INPUT)
        good, anonymous = {"card": 1, "user": "ada"}, {"card": 2}
        bad: dict[str, Any] = {}
        self.run_to_end("completed", CHAIN, good)
        several = self.run_to_end("several causes", CHAIN, [good, bad, anonymous, bad, good, anonymous, bad])
        failed = self.run_to_end("failed", CHAIN, anonymous)
        self.run_to_end("all failed", CHAIN, [bad] * 3)
        mapped = PLANTED["map with failed items"]
        self.run_to_end("batch of maps", {"steps": mapped.steps, "output": mapped.output}, [INPUT, INPUT])
        self.run_to_end("map of steps of a worker", MAP, {"items": [good, anonymous, good]})
        for name in ("map with failed items", "map of steps of a worker"):
            for child in self.client.list_runs(root_run_id=self.ids[name]):
                if child.parent_run_id is not None:
                    self.ids[f"sub-run of {name}"] = child.run_id
        again = {"rerun of failed": self.client.start_rerun(several, keep="succeeded")}
        if self.client.server_info().capabilities["step_outputs"]:
            again["kept"] = self.client.start_rerun(failed, keep=Keep(before="charge"), input=good)
            again["kept and failed"] = self.client.start_rerun(failed, keep=Keep(before="charge"))
        for name, handles in again.items():
            self.ids[name] = handles[0].run_id
            self.client.wait_run(handles[0].run_id, timeout=60)
        long = {"seconds": 600, "x": 1}
        short = {"seconds": 0}
        for name, inputs in {"cancelled": long, "cancelled batch": [short | {"x": 1}, long, short]}.items():
            run_id = self.ids[name] = self.client.submit(SLOW, inputs)
            time.sleep(1)
            self.client.cancel_run(run_id)
        self.ids["running"] = self.client.submit(SLOW, long)
        for number in range(3):
            inputs = [choice.choice((long, {"seconds": choice.random(), "x": 1}, short)) for _ in range(8)]
            self.ids[f"running batch {number}"] = self.client.submit(SLOW, [*inputs, long])
        time.sleep(2)
        return self.ids


class World:
    """A server, its runs, and access to the views of a run."""

    def __init__(self, client: SyncStepflowClient, stepflow: Stepflow, browser: httpx.Client, folder: Path) -> None:
        self.client, self.stepflow, self.browser, self.folder = client, stepflow, browser, folder
        self.runs = Runs(client).make()

    def json(self, *arguments: str) -> Any:
        done = self.stepflow("runs", *arguments, "-o", "json")
        assert done.stdout, done
        return json.loads(done.stdout)

    def page(self, path: str) -> str:
        page = self.browser.get(path)
        assert page.status_code == 200, page.text
        return page.text


@pytest.fixture(scope="module", params=[releases.NEWEST, "0.10.0"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, start_ui: StartUi
) -> Iterator[World]:
    release = request.param
    folder = tmp_path_factory.mktemp("views")
    stepflow = Stepflow(folder, folder)
    state = stepflow.environment["XDG_STATE_HOME"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", state)
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        config = {**workers.config(release), "retry": {"transportMaxRetries": 0}}
        quiet = {"STEPFLOW_LOG_LEVEL": "ERROR", "STEPFLOW_TRACE_ENABLED": "false"}
        with StepflowRuntime.start(config=config, env=quiet, log_config=LogConfig(level="error")) as server:
            stepflow.environment["STEPFLOW_URL"] = server.url
            pages = start_ui(server.url, XDG_STATE_HOME=state)
            with (
                SyncStepflowClient(server.url, history=History(Path(state, "stepflow", "history.db"))) as client,
                pages.browser() as browser,
            ):
                yield World(client, stepflow, browser, folder)


def nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count and name != "total"}


def totals_of(steps: Mapping[tuple[int, str], str]) -> dict[str, dict[str, int]]:
    totals: dict[str, Counter[str]] = {}
    for (_, name), state in steps.items():
        totals.setdefault(name, Counter())[state] += 1
    return {name: dict(counts) for name, counts in totals.items()}


def from_python(world: World, run_id: str) -> Facts:
    snapshot = world.client.snapshot(run_id)
    assert snapshot.items is not None
    assert snapshot.counts is not None
    run = snapshot.details
    accounts = [world.client.explain_run(run_id, item_index=each.index) for each in snapshot.items]
    listed = {(step.item_index, step.step_id) for step in snapshot.steps or ()}
    steps = {(each.item_index, step.step_id): step.text for each in accounts for step in each.steps}
    in_list = {key: words for key, words in steps.items() if key in listed}
    failed = next((each for each in accounts if each.error is not None), None)
    groups = group_failures(snapshot.items)
    children = sum(len(step.failed_children) for each in accounts for step in each.steps) * (
        run.status.value == "completed"
    )
    return {
        "status": run.status.value,
        "headline": format_state(run.status.value, failed_children=children),
        "counts": nonzero(snapshot.counts.to_dict()),
        "took": None if run.duration is None else duration_text(run.duration),
        "cause": failed and cause_of(failed.item_index, failed.to_dict()),
        "steps": steps,
        "listed": in_list,
        "watched": count_watched_states(in_list),
        "item_took": item_times(world, run_id, snapshot.details.items.total),
        "lines": [str(each) for each in groups[:5]],
        "groups": [(len(each.indexes), each.step_id or "", each.message) for each in groups[:5]],
    }


def item_times(world: World, run_id: str, total: int) -> dict[int, str]:
    """Return the duration of each item with an ended step, from the first start to the last end."""
    if total == 1 or not world.client.server_info().capabilities["events"]:
        return {}
    times: dict[int, list[Any]] = {}
    for step in world.client.get_run_steps(run_id, include_times=True).steps:
        if step.started_at is not None and step.completed_at is not None:
            times.setdefault(step.item_index, []).append((step.started_at, step.completed_at))
    ends = {index: (min(start for start, _ in each), max(end for _, end in each)) for index, each in times.items()}
    return {index: duration_text((end - start).total_seconds()) for index, (start, end) in ends.items()}


def count_watched_states(steps: Mapping[tuple[int, str], str]) -> dict[str, dict[str, int]]:
    """Return how many items of each step completed, failed and were not run."""
    names = {"completed": "completed", "kept": "completed", "failed": "failed", "not run": "not_run"}
    watched = {key: names.get(re.split("[,(]", text)[0].removesuffix(" ")) for key, text in steps.items()}
    return totals_of({key: each for key, each in watched.items() if each is not None})


def cause_of(index: int, account: Mapping[str, Any]) -> tuple[int, str | None, str]:
    return index, account["cause"], account["error"]["message"]


def of_record(record: Mapping[str, Any]) -> Facts:
    took = duration_text(record["duration"]) if record["completed_at"] else None
    headline = format_state(record["status"], failed_children=record["failed_in_sub_runs"] or 0)
    return {"status": record["status"], "counts": nonzero(record["items"]), "took": took, "headline": headline}


def from_get(world: World, run_id: str) -> Facts:
    record = world.json("get", run_id)
    account = record["account"]
    facts = of_record(record)
    if account and account["error"]:
        facts["cause"] = cause_of(account["item_index"], account)
    return facts


def from_list(world: World, run_id: str) -> Facts:
    return of_record(next(each for each in world.json("list", "-n", "200") if each["run_id"] == run_id))


def from_steps(world: World, run_id: str) -> Facts:
    done = world.stepflow("runs", "steps", run_id, "-o", "json")
    if done.code:
        return {}
    listed = {}
    for step in json.loads(done.stdout):
        marks = {name: step[name] for name in ("is_kept", "is_default", "status")}
        state = format_state(step["state"], step["because_of"], len(step["failed_children"]), **marks)
        listed[step["item_index"], step["step_id"]] = state
    return {"listed": listed}


def from_watch(world: World, run_id: str) -> Facts:
    if world.client.get_run(run_id).status.value == "running":
        return {}
    record = world.json("watch", run_id)
    # Only `get` shows the original run and the reruns.
    attempts = ("rerun_of", "rerun_items", "reruns")
    assert record == {name: value for name, value in world.json("get", run_id).items() if name not in attempts}
    return of_record(record)


def from_tree(world: World, run_id: str) -> Facts:
    """Facts from the tree that `runs watch` draws on a terminal."""
    run = world.client.get_run(run_id)
    if run.status.value == "running" or not world.client.server_info().capabilities["events"]:
        return {}
    environment = {"TERM": "xterm-256color"} | {
        name: value for name, value in world.stepflow.environment.items() if name != "COLUMNS"
    }
    terminal = Terminal(("runs", "watch", run_id), world.folder, environment, 200, 100)
    terminal.end()
    title, *lines = terminal.screen.splitlines()[1:]
    watched = {}
    for line in lines:
        match = re.match(r"[├└]── (?!sub-run )(\S+)  +(.*)", line)
        if match:
            state, *_ = re.split("  +", match[2])
            of_one = {} if state == "not run" else count_watched_states({(0, match[1]): state}).get(match[1], {})
            watched[match[1]] = counts_in_tree(match[2]) if run.items.total > 1 else of_one
    headline = re.search(r"(completed, .*|completed|failed|cancelled)(?:  |$)", title)
    assert headline
    return {
        "headline": headline[1].partition("  ")[0],
        "watched": {name: each for name, each in watched.items() if each},
    }


def counts_in_tree(text: str) -> dict[str, int]:
    numbers = {name: int(number) for number, name in re.findall(r"(\d+) (of|failed(?! or)|not run)", text)}
    failed = numbers.get("failed", 0)
    counts = {"completed": numbers.get("of", 0) - failed, "failed": failed, "not_run": numbers.get("not run", 0)}
    return nonzero(counts)


def text_of(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", html)).strip()


def pairs_of(html: str, name: str, value: str) -> dict[str, str]:
    return {
        text_of(key): text_of(content)
        for key, content in re.findall(rf"<{name}[^>]*>(.*?)</{name}>\s*<{value}[^>]*>(.*?)</{value}>", html, re.DOTALL)
    }


def build_step_rows(html: str) -> list[list[str]]:
    return [
        [text_of(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    ]


def section_of(html: str, title: str) -> str:
    match = re.search(rf"<section[^>]*>(?:(?!</section>).)*<h2[^>]*>{title}</h2>.*?</section>", html, re.DOTALL)
    return match[0] if match else ""


def counts_of(text: str) -> dict[str, int]:
    return {name: int(count) for count, name in re.findall(r"(\d+) ([a-z]+)", text)}


def from_report(world: World, run_id: str) -> Facts:
    done = world.stepflow("runs", "report", run_id, "-O", "-")
    assert done.code == 0, done
    facts = pairs_of(section_of(done.stdout, "Run"), "dt", "dd")
    result: Facts = {"headline": facts["Status"], "took": facts.get("Took")}
    if "Items" in facts:
        result["counts"] = counts_of(facts["Items"])
        errors = re.sub("<details>.*?</details>", "", section_of(done.stdout, "Errors"), flags=re.DOTALL)
        result["groups"] = [(int(row[0]), row[1], row[3]) for row in build_step_rows(errors)[1:]]
        result["totals"] = {
            row[0]: {
                words: int(count)
                for words, count in re.findall(r"([^,]+?(?:, \d+ failed in sub-runs)?) (\d+)(?:, |$)", row[2])
            }
            for row in build_step_rows(section_of(done.stdout, "Steps"))[1:]
        }
    else:
        result["listed"] = {(0, row[0]): row[2] for row in build_step_rows(section_of(done.stdout, "Steps"))[1:]}
        cause = re.search(
            r'<p class="problem">(?:Step <code>(.*?)</code>: )?(.*?)(?: <span class="soft">.*?</span>)?</p>',
            done.stdout,
        )
        result["cause"] = cause and (0, cause[1], unescape(cause[2]))
    return result


def from_page(world: World, run_id: str) -> Facts:
    page = world.page(f"/runs/{run_id}")
    facts = summary_of(page)
    took = facts["Took"]
    result: Facts = {"headline": facts["Status"].split(" may ")[0], "took": None if took == "running" else took or None}
    if 'id="grid"' not in page:
        result["steps"] = {(0, row[0]): row[1] for row in build_step_rows(section_of(page, "Steps"))[1:]}
        causes = cause_in(page)
        return result | {"cause": (0, *causes[0]) if causes else None}
    result["item_took"] = {
        int(row[0].split()[0]): row[3] for row in build_step_rows(section_of(page, "Items"))[1:] if row[3]
    }
    tabs = Counter({name: int(n) for name, n in re.findall(r'data-state="(\w+)".*?<span>(\d+)</span>', page)})
    tabs["running"] += tabs.pop("waiting", 0)
    result["counts"] = nonzero(tabs)
    result["groups"] = [
        (int(count), step, unescape(message))
        for count, step, message in re.findall(
            r'<b class="count">(\d+) ×</b> (?:<code>(.*?)</code>)?.*?<p class="problem">(.*?)</p>', page, re.DOTALL
        )
    ]
    return result


def from_items(world: World, run_id: str) -> Facts:
    """Facts from the pages of a batch's items."""
    items = world.client.get_run_items(run_id).items
    result: Facts = {"steps": {}}
    if len(items) == 1:
        return {}
    states, took, causes = Counter[str](), {}, []
    for item in items:
        page = world.page(f"/runs/{run_id}/items/{item.index}")
        result["steps"] |= {(item.index, row[0]): row[1] for row in build_step_rows(section_of(page, "Steps"))[1:]}
        facts = summary_of(page)
        state = re.split("[ ,]", facts["Status"])[0]
        states["running" if state == "waiting" else state] += 1
        if facts["Took"] not in ("", "running"):
            took[item.index] = facts["Took"]
        causes += [(item.index, *cause) for cause in cause_in(page)]
    return result | {"counts": nonzero(states), "item_took": took, "cause": causes[0] if causes else None}


def summary_of(page: str) -> dict[str, str]:
    return pairs_of(page[page.index('id="summary"') : page.index("</section>")], "dt", "dd")


def cause_in(page: str) -> list[tuple[str | None, str]]:
    """Return the step and message of the failure at which an item's page opens."""
    match = re.search(r'<pre class="problem" tabindex="0">(.*?)</pre>', page, re.DOTALL)
    step = re.search(r'id="panel" [^>]*data-step="(.*?)"', page)
    assert step
    return [(unescape(step[1]) or None, unescape(match[1]))] if match else []


def from_notebook(world: World, run_id: str) -> Facts:
    html = world.client.snapshot(run_id)._repr_html_()
    facts = pairs_of(html, "th", "td")
    result: Facts = {"headline": re.sub(MARK, "", facts["status"]), "took": facts.get("duration") or None}
    heads, *rows = build_step_rows(html.rpartition("<table>")[2])
    if heads[0] == "step_id":
        return result | {"listed": {(0, row[0]): re.sub(MARK, "", row[1]) for row in rows}}
    causes = [text_of(each) for each in re.findall(r">cause</th><td[^>]*>(.*?)</td>", html, re.DOTALL)]
    return result | {"listed": {(int(row[0]), row[1]): re.sub(MARK, "", row[2]) for row in rows}, "lines": causes}


def from_follower(world: World, run_id: str) -> Facts:
    """Facts from `progress=` and from `runs list --watch`."""
    updates: list[Progress] = []
    with suppress(RunTimeoutError):
        world.client.wait_run(run_id, timeout=1.5, progress=updates.append)
    record = world.client.get_run(run_id).to_dict()
    if record["status"] == "cancelled":
        # Progress does not count items that continue after a cancel.
        return {}
    counts = {"completed": updates[-1].completed, "failed": updates[-1].failed}
    counts["running"] = (updates[-1].total or 0) - sum(counts.values())
    with closing(RunningRunsFollower(world.client)) as running:
        for _ in range(20):
            listed = {name: running.add_progress([record])[0]["items"][name] for name in counts}
            if listed == counts:
                return {"counts": nonzero(counts)}
            time.sleep(0.1)
    return {"counts": listed}


VIEWS: dict[str, Callable[[World, str], Facts]] = {
    "get": from_get,
    "list": from_list,
    "steps": from_steps,
    "watch": from_watch,
    "tree": from_tree,
    "follower": from_follower,
    "report": from_report,
    "page": from_page,
    "items": from_items,
    "notebook": from_notebook,
}
MORE_CURRENT = {("page", "groups"), ("items", "cause")}
"""Keys for which pages of a running batch are ahead of the server: they request the errors of failed items."""


def test_all_views_agree_with_the_client(world: World) -> None:
    wrong = []
    for name, run_id in world.runs.items():
        facts = from_python(world, run_id)
        facts["totals"] = totals_of(facts["listed"])
        for view, read in VIEWS.items():
            for key, value in read(world, run_id).items():
                if name.startswith("running batch") and (view, key) in MORE_CURRENT:
                    continue
                if value != facts[key]:
                    wrong.append(f"{name}: {view} has {key} {value!r}, Python {facts[key]!r}")
    assert not wrong, "\n".join(wrong)


async def test_diagnose_tool_agrees_with_the_client(world: World) -> None:
    folder = agents.write_flows(world.folder / "tools", agents.GREET)
    url = world.stepflow.environment["STEPFLOW_URL"]
    wrong = []
    async with agents.agent(url, folder, tools=["diagnose"], all_runs=True) as agent:
        for name, run_id in world.runs.items():
            run = world.client.snapshot(run_id).details
            account = run.account
            answer = await agent.call_tool("diagnose_run", {"run_id": run_id})
            content = answer.structured_content
            if account is not None and content != run.to_dict():
                wrong.append(f"{name}: {content}, Python {run.to_dict()}")
            groups = [str(group) for group in group_failures(world.client.get_run_items(run_id))[:5]]
            if groups and run.items.total > 1 and [each["text"] for each in content["failures"]] != groups:
                wrong.append(f"{name}: {content['failures']}, Python {groups}")
            if account is not None and account.text.replace("\n", " ") not in agents.text_of(answer).replace("\n", " "):
                wrong.append(f"{name}: {agents.text_of(answer)}, Python {account.text}")
    assert not wrong, "\n".join(wrong)
