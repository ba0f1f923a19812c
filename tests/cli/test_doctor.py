"""`stepflow doctor`: each thing that may be wrong, made wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from stepflow_client import StepflowRuntime

from tests import releases, workers
from tests.cli.command import STEPFLOW, CommandResult, Stepflow
from tests.cli.gateway import Gateway, make_certificate
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal


def steady(printed: object) -> str:
    """Return what was printed without what differs from machine to machine: versions, times, and where we are."""
    text = str(printed).replace(f"{STEPFLOW.parent}/", "/bin/")
    text = re.sub(r"Python \d\S+, .*click [\d.]+", "Python and packages", text)
    text = re.sub(r"it starts: release \d[\d.]+, of the package", "it starts: release 0.1.2, of the package", text)
    text = re.sub(r"after \d+ ms", "after 1 ms", text)
    text = re.sub(r"after \d\.\d s", "after 1.6 s", text)
    text = re.sub(r"localhost is [\d.:, ]+", "localhost is 127.0.0.1", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:10000", text)


def found(done: CommandResult) -> dict[str, dict[str, str]]:
    """Return the checks by name."""
    return {each["check"]: each for each in json.loads(done.stdout)}


def profile(stepflow: Stepflow, text: str) -> Path:
    """Write the file with the profiles."""
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", ["table", "json"])
def test_all_is_well(form: str, stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(steady(stepflow("doctor", "-o", form)))


def test_on_a_terminal(terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    shown = terminal("doctor", "--no-run")
    assert shown.end() == 0
    # The first checks are of versions and paths, which are of another length on each machine.
    golden(steady("configuration" + shown.screen.partition("configuration")[2]))


def test_without_a_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        steady(stepflow("doctor", STEPFLOW_URL="http://127.0.0.1:9")),
        steady(stepflow("doctor", "--url", "http://127.0.0.1:9", "-o", "json", "--fields", "check,status")),
        steady(stepflow("doctor", "--url", "ftp://server")),
        steady(stepflow("doctor", "--fields", "check,stats")),
        steady(stepflow("doctor", "--local", "--url", "http://x")),
        steady(stepflow("doctor", "--no-rnu")),
    )


@pytest.mark.parametrize("command", ["pyhton", None])
def test_it_starts_the_server_that_a_run_would_use(command: str | None, stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow.toml").write_text('config = "server/config.yml"\n')
    (stepflow.folder / "server").mkdir()
    plugins = "" if command is None else f", shop: {{type: grpc, queueName: shop, command: {command}}}"
    (stepflow.folder / "server" / "config.yml").write_text(
        f"plugins: {{builtin: {{type: builtin}}{plugins}}}\nroutes: {{/builtin: [{{plugin: builtin}}]}}\n"
    )
    (stepflow.folder / "flows").mkdir()
    done = stepflow.shell("cd flows; stepflow doctor -o json")
    ran = stepflow.shell('cd flows; stepflow run ../hello.yaml --input-json \'{"name": "Ada"}\'')
    assert (done.code, ran.code) == ((0, 0) if command is None else (2, 2))
    checks = found(done)
    assert checks["server configuration"]["message"] == (
        f"{stepflow.folder}/server/config.yml (from {stepflow.folder}/stepflow.toml)"
    )
    assert checks["embedded server"]["status"] == ("error" if command else "ok")
    assert command is None or checks["embedded server"]["message"] in ran.stderr


def test_an_embedded_server(stepflow: Stepflow) -> None:
    done = stepflow("doctor", "--local", "-o", "json")
    checks = found(done)
    assert done.code == 0, done
    assert [checks[name]["status"] for name in ("server", "stepflow", "release", "events")] == ["ok"] * 3 + ["skipped"]
    missing = stepflow("doctor", "--local", "-o", "json", STEPFLOW_SERVER_BINARY="/no/binary")
    assert missing.code == 2
    assert found(missing)["embedded server"]["status"] == "error"
    assert json.loads(missing.stderr)["exit_code"] == 2


@pytest.mark.usefixtures("server")
def test_a_missing_binary_matters_less_where_a_server_is_named(stepflow: Stepflow) -> None:
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY="/no/binary")
    assert (done.code, found(done)["embedded server"]["status"]) == (0, "warning")
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY=str(STEPFLOW))
    assert (done.code, found(done)["embedded server"]["status"]) == (0, "warning")
    binary = str(releases.binary("0.11.1"))
    check = found(stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY=binary))["embedded server"]
    assert check["message"] == f"it starts: release 0.11.1, {binary}, from environment variable STEPFLOW_SERVER_BINARY"


def test_no_server_is_left_running(stepflow: Stepflow) -> None:
    mark = f"--of-{stepflow.folder}"
    stepflow("doctor", "--no-run", STEPFLOW_TEST_MARK=mark)
    environments = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environments.append(process.environ())
    assert not [each for each in environments if each.get("STEPFLOW_TEST_MARK") == mark]


def test_the_file_with_the_profiles(stepflow: Stepflow, golden: Golden) -> None:
    broken, one_wrong, no_current = (
        'current = "',
        '[profiles.a]\nurl = "http://127.0.0.1:9"\n[profiles.b]\nurl = "http://x"\ntimout = 5\n',
        'current = "c"\n[profiles.a]\nurl = "http://127.0.0.1:9"\n',
    )
    printed = []
    for text in (broken, one_wrong, no_current):
        profile(stepflow, text)
        printed.append(steady(stepflow("doctor")))
    printed.append(steady(stepflow("doctor", "--profile", "a")))
    golden(*printed)


def test_another_stepflow_is_first_on_path(stepflow: Stepflow) -> None:
    other = stepflow.folder / "bin" / "stepflow"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    path = f"{other.parent}:{stepflow.environment['PATH']}"
    check = found(stepflow("doctor", "-o", "json", PATH=path))["command"]
    assert (check["status"], str(other) in check["message"]) == ("warning", True)
    check = found(stepflow("doctor", "-o", "json", PATH="/usr/bin:/bin"))["command"]
    assert (check["status"], str(STEPFLOW.parent) in check["hint"]) == ("warning", True)


def test_proxies(stepflow: Stepflow, server: str, golden: Golden) -> None:
    secret = {"HTTP_PROXY": "http://me:hidden@127.0.0.1:9"}
    printed = [
        # The server is on this machine: it is asked directly.
        stepflow("doctor", "--no-run", "--fields", "check,status,message", "-o", "jsonl", **secret),
        stepflow("doctor", "--url", "http://server.example", STEPFLOW_URL="", **secret),
        stepflow("doctor", "--url", "http://server.invalid", STEPFLOW_URL="", **secret, NO_PROXY=".invalid"),
    ]
    assert not [done for done in printed if "hidden" in done.stdout + done.stderr]
    # Resolvers say in different words that there is no such name.
    text = "\n".join(map(steady, printed))
    golden(re.sub(r"server\.invalid is not known: [a-z ,-]+", "server.invalid is not known: no such name", text))


def test_something_else_listens(stepflow: Stepflow, golden: Golden) -> None:
    with Gateway(None) as elsewhere:
        golden(steady(stepflow("doctor", "--url", elsewhere.url)))


def test_a_release_that_is_not_known(stepflow: Stepflow, server: str) -> None:
    def newer(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, re.sub(rb'"gitVersion":"[^"]*"', b'"gitVersion":"fffffff"', body)

    def numbered(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body.replace(b'"build"', b'"version":"0.99.0","build"') if path.endswith("/health") else body

    for change in (newer, numbered):
        with Gateway(server, change) as gateway:
            done = stepflow("doctor", "--no-run", "--url", gateway.url, "-o", "json")
            assert (done.code, found(done)["release"]["status"]) == (0, "warning"), done


@pytest.mark.parametrize(("seconds", "said"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_clock_that_is_off(seconds: int, said: str, stepflow: Stepflow, server: str) -> None:
    def skewed(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if not path.endswith("/health"):
            return status, body
        health = json.loads(body)
        time = datetime.fromisoformat(health["timestamp"]) + timedelta(seconds=seconds)
        return status, json.dumps({**health, "timestamp": time.isoformat()}).encode()

    with Gateway(server, skewed) as gateway:
        done = stepflow("doctor", "--no-run", "--url", gateway.url, "-o", "json")
    check = found(done)["clock"]
    assert (done.code, check["status"]) == (0, "warning")
    assert re.fullmatch(rf"the server's clock is (3599|3600|3601) s {said} this machine's", check["message"])


def test_a_worker_that_was_killed(terminal: Callable[..., Terminal], stepflow: Stepflow) -> None:
    with StepflowRuntime.start(config=workers.config(releases.NEWEST)) as runtime:
        checks = ["doctor", "--no-run", "--url", runtime.url]
        assert found(stepflow(*checks, "-o", "json"))["workers"]["message"] == "none is missing"
        (worker,) = psutil.Process(runtime.pid).children()
        worker.kill()
        while worker.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        done = stepflow(*checks, "-o", "json")
        screens = {width: terminal(*checks, width=width) for width in (60, 100)}
        assert [done.code, *(each.end() for each in screens.values())] == [0, 0, 0]
    check = found(done)["workers"]
    assert (check["status"], check["message"]) == ("warning", f"worker {worker.pid} was killed by signal 9")
    for width, shown in screens.items():
        assert f"worker {worker.pid} was killed" in shown.screen
        assert max(map(len, shown.screen.splitlines())) <= width


@pytest.mark.exhaustive
def test_a_worker_that_is_missing(stepflow: Stepflow, golden: Golden) -> None:
    config = workers.config(releases.NEWEST)
    config["plugins"]["python"] = {"type": "grpc", "queueName": "python"}
    with StepflowRuntime.start(config=config) as runtime:
        # No run is made that would wait for it.
        done = stepflow("doctor", "--url", runtime.url, "-o", "json")
        assert runtime.sync_client.list_runs().runs == []
    checks = found(done)
    assert done.code == 1
    golden(json.dumps([checks["workers"], checks["events"]], indent=2) + "\n")


def test_events_that_are_held_back(stepflow: Stepflow, server: str, golden: Golden) -> None:
    with Gateway(server) as gateway:
        golden(steady(stepflow("doctor", "--url", gateway.url)))


@pytest.mark.usefixtures("server")
def test_a_token_that_others_can_read(stepflow: Stepflow, server: str, golden: Golden) -> None:
    token = stepflow.folder / "token"
    token.write_text("hidden\n")
    token.chmod(0o644)
    profile(stepflow, f'[profiles.a]\nurl = "{server}"\ntoken_file = "{token}"\n')
    refused = stepflow("doctor", "--profile", "a", "--no-run", STEPFLOW_URL="")
    token.chmod(0o600)
    golden(steady(refused), steady(stepflow("doctor", "--profile", "a", "--no-run", STEPFLOW_URL="")))


@pytest.mark.parametrize("status", [401, 407])
def test_authorization(status: int, stepflow: Stepflow, server: str, golden: Golden) -> None:
    def guarded(path: str, code: int, body: bytes) -> tuple[int, bytes]:
        # Health is often open to all.
        return (code, body) if path.endswith("/health") and status == 401 else (status, b"")

    with Gateway(server, guarded) as gateway:
        golden(
            steady(stepflow("doctor", "--url", gateway.url)),
            steady(stepflow("doctor", "--url", gateway.url, "-o", "jsonl", STEPFLOW_TOKEN="hidden")),
        )


def test_certificates(stepflow: Stepflow, server: str, tmp_path: Path, golden: Golden) -> None:
    fine = make_certificate(tmp_path / "fine")
    expired = make_certificate(tmp_path / "expired", last="2021")
    early = make_certificate(tmp_path / "early", first="2090")
    other = make_certificate(tmp_path / "other", names="DNS:elsewhere.example")
    printed = []
    for name, certificate in (("fine", fine), ("expired", expired), ("early", early), ("other", other)):
        with Gateway(server, certificate=certificate) as gateway:
            profile(stepflow, f'[profiles.{name}]\nurl = "{gateway.url}"\nca_file = "{certificate}"\n')
            printed.append(stepflow("doctor", "--no-run", "--profile", name, STEPFLOW_URL=""))
            if name != "fine":
                continue
            # Nobody vouches for it; and nobody looks.
            printed.append(stepflow("doctor", "--no-run", "--url", gateway.url))
            profile(stepflow, f'[profiles.fine]\nurl = "{gateway.url}"\nverify = false\n')
            printed.append(stepflow("doctor", "--no-run", "--profile", "fine", STEPFLOW_URL=""))
            printed.append(stepflow("doctor", "--no-run", "--url", gateway.url.replace("https", "http")))
    printed.append(stepflow("doctor", "--no-run", "--url", server.replace("http", "https")))
    golden(*map(steady, printed))


@pytest.mark.parametrize(
    ("keys", "file", "named"),
    [
        ('ca_file = "no.pem"', "no.pem", "ca_file"),
        ('cert_file = "no.pem"', "no.pem", "cert_file"),
        ('cert_file = "no.pem"\nkey_file = "config.toml"', "config.toml", "cert_file and key_file"),
        ('ca_file = "config.toml"', "config.toml", "ca_file"),
    ],
)
def test_a_file_of_certificates_that_cannot_be_loaded(
    keys: str, file: str, named: str, stepflow: Stepflow, server: str
) -> None:
    path = profile(stepflow, f'[profiles.a]\nurl = "{server.replace("http", "https")}"\n{keys}\n')
    done = stepflow("doctor", "--no-run", "--profile", "a", "-o", "json", STEPFLOW_URL="")
    check = found(done)["certificate"]
    assert (done.code, check["status"], check["hint"]) == (1, "error", f"correct {named} in the profile")
    assert f"{path.parent / file} cannot be loaded: " in check["message"]


def test_a_server_that_is_named_is_looked_at_though_the_profiles_cannot_be_read(
    stepflow: Stepflow, server: str
) -> None:
    profile(stepflow, "current = [")
    done = stepflow("doctor", "--no-run", "--url", server, "-o", "json", STEPFLOW_URL="")
    assert done.code == 1
    assert [found(done)[name]["status"] for name in ("configuration", "stepflow", "release")] == ["error", "ok", "ok"]


STORED = """\
plugins: {builtin: {type: builtin}}
routes: {/builtin: [{plugin: builtin}]}
storageConfig: {type: sqlite, databaseUrl: "sqlite:store.db?mode=rwc"}
"""
_CONFIG = "stepflow-config.yml (from the working folder)"
LIMITS = "maxStartupRecovery: 10000, maxClaimsPerCheck: 10000"


@pytest.mark.parametrize(
    ("config", "status", "message"),
    [
        (STORED + f"recovery: {{{LIMITS}}}\n", "ok", _CONFIG),
        (
            STORED + f"recovery: {{checkIntervalSecs: 30, {LIMITS}}}\n",
            "ok",
            "stepflow-config.yml (from the working folder)",
        ),
        (
            STORED + "recovery: {checkIntervalSecs: 1, enabled: false}\n",
            "ok",
            "stepflow-config.yml (from the working folder)",
        ),
        ("recovery: {checkIntervalSecs: 1}\n", "ok", _CONFIG),
        (
            STORED,
            "warning",
            "stepflow-config.yml: after a crash, the server resumes only 100 unfinished runs when it starts, and 10 at "
            "each later check",
        ),
        (
            STORED + f"recovery: {{checkIntervalSecs: 1, {LIMITS}}}\n",
            "warning",
            "stepflow-config.yml: recovery.checkIntervalSecs is 1, with a store in a file: below 30 s, the server may "
            "mistake running runs for abandoned ones and execute parts of them twice",
        ),
    ],
)
def test_the_configuration_of_a_server(config: str, status: str, message: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text(config)
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_URL="http://127.0.0.1:9")
    check = found(done)["server configuration"]
    assert (check["status"], check["message"]) == (status, message)
