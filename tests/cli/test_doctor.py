"""`stepflow doctor` finds each problem that it checks for."""

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


def normalize(printed: object) -> str:
    """Replace output that varies between machines: versions, times and paths."""
    text = str(printed).replace(f"{STEPFLOW.parent}/", "/bin/")
    text = re.sub(r"Python \d\S+, .*click [\d.]+", "Python and packages", text)
    text = re.sub(r"it starts: release \d[\d.]+, of the package", "it starts: release 0.1.2, of the package", text)
    text = re.sub(r"after \d+ ms", "after 1 ms", text)
    text = re.sub(r"after \d\.\d s", "after 1.6 s", text)
    text = re.sub(r"localhost is [\d.:, ]+", "localhost is 127.0.0.1", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:10000", text)


def checks_by_name(done: CommandResult) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in json.loads(done.stdout)}


def write_profiles(stepflow: Stepflow, text: str) -> Path:
    """Write the profile file and return its path."""
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_problems(form: str, stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(normalize(stepflow("doctor", "-o", form)))


def test_on_a_terminal(terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    shown = terminal("doctor", "--no-run")
    assert shown.end() == 0
    # The first checks show versions and paths, whose lengths vary between machines.
    golden(normalize("configuration" + shown.screen.partition("configuration")[2]))


def test_unreachable_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        normalize(stepflow("doctor", STEPFLOW_URL="http://127.0.0.1:9")),
        normalize(stepflow("doctor", "--url", "http://127.0.0.1:9", "-o", "json", "--fields", "check,status")),
        normalize(stepflow("doctor", "--url", "ftp://server")),
        normalize(stepflow("doctor", "--fields", "check,stats")),
        normalize(stepflow("doctor", "--local", "--url", "http://x")),
        normalize(stepflow("doctor", "--no-rnu")),
    )


@pytest.mark.parametrize("command", ["pyhton", None])
def test_checks_the_same_embedded_server_as_a_run(command: str | None, stepflow: Stepflow) -> None:
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
    checks = checks_by_name(done)
    assert checks["server configuration"]["message"] == (
        f"{stepflow.folder}/server/config.yml (from {stepflow.folder}/stepflow.toml)"
    )
    assert checks["embedded server"]["status"] == ("error" if command else "ok")
    assert command is None or checks["embedded server"]["message"] in ran.stderr


def test_embedded_server(stepflow: Stepflow) -> None:
    done = stepflow("doctor", "--local", "-o", "json")
    checks = checks_by_name(done)
    assert done.code == 0, done
    assert [checks[name]["status"] for name in ("server", "stepflow", "release", "events")] == ["ok"] * 3 + ["skipped"]
    missing = stepflow("doctor", "--local", "-o", "json", STEPFLOW_SERVER_BINARY="/no/binary")
    assert missing.code == 2
    assert checks_by_name(missing)["embedded server"]["status"] == "error"
    assert json.loads(missing.stderr)["exit_code"] == 2


@pytest.mark.usefixtures("server")
def test_missing_binary_is_a_warning_if_a_server_is_set(stepflow: Stepflow) -> None:
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY="/no/binary")
    assert (done.code, checks_by_name(done)["embedded server"]["status"]) == (0, "warning")
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY=str(STEPFLOW))
    assert (done.code, checks_by_name(done)["embedded server"]["status"]) == (0, "warning")
    binary = str(releases.binary("0.11.1"))
    check = checks_by_name(stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_SERVER_BINARY=binary))[
        "embedded server"
    ]
    assert check["message"] == f"it starts: release 0.11.1, {binary}, from environment variable STEPFLOW_SERVER_BINARY"


def test_no_server_is_left_running(stepflow: Stepflow) -> None:
    marker = f"--of-{stepflow.folder}"
    stepflow("doctor", "--no-run", STEPFLOW_TEST_MARK=marker)
    environments = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environments.append(process.environ())
    assert not [each for each in environments if each.get("STEPFLOW_TEST_MARK") == marker]


def test_invalid_profiles(stepflow: Stepflow, golden: Golden) -> None:
    broken, one_wrong, no_current = (
        'current = "',
        '[profiles.a]\nurl = "http://127.0.0.1:9"\n[profiles.b]\nurl = "http://x"\ntimout = 5\n',
        'current = "c"\n[profiles.a]\nurl = "http://127.0.0.1:9"\n',
    )
    printed = []
    for text in (broken, one_wrong, no_current):
        write_profiles(stepflow, text)
        printed.append(normalize(stepflow("doctor")))
    printed.append(normalize(stepflow("doctor", "--profile", "a")))
    golden(*printed)


def test_different_stepflow_is_first_on_path(stepflow: Stepflow) -> None:
    other = stepflow.folder / "bin" / "stepflow"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    path = f"{other.parent}:{stepflow.environment['PATH']}"
    check = checks_by_name(stepflow("doctor", "-o", "json", PATH=path))["command"]
    assert (check["status"], str(other) in check["message"]) == ("warning", True)
    check = checks_by_name(stepflow("doctor", "-o", "json", PATH="/usr/bin:/bin"))["command"]
    assert (check["status"], str(STEPFLOW.parent) in check["hint"]) == ("warning", True)


def test_proxies(stepflow: Stepflow, server: str, golden: Golden) -> None:
    secret = {"HTTP_PROXY": "http://me:hidden@127.0.0.1:9"}
    printed = [
        # No proxy is used for a server on this machine.
        stepflow("doctor", "--no-run", "--fields", "check,status,message", "-o", "jsonl", **secret),
        stepflow("doctor", "--url", "http://server.example", STEPFLOW_URL="", **secret),
        stepflow("doctor", "--url", "http://server.invalid", STEPFLOW_URL="", **secret, NO_PROXY=".invalid"),
    ]
    assert not [done for done in printed if "hidden" in done.stdout + done.stderr]
    # The message of the resolver varies.
    text = "\n".join(map(normalize, printed))
    golden(re.sub(r"server\.invalid is not known: [a-z ,-]+", "server.invalid is not known: no such name", text))


def test_port_of_another_program(stepflow: Stepflow, golden: Golden) -> None:
    with Gateway(None) as elsewhere:
        golden(normalize(stepflow("doctor", "--url", elsewhere.url)))


def test_unknown_release(stepflow: Stepflow, server: str) -> None:
    def newer(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, re.sub(rb'"gitVersion":"[^"]*"', b'"gitVersion":"fffffff"', body)

    def numbered(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return status, body.replace(b'"build"', b'"version":"0.99.0","build"') if path.endswith("/health") else body

    for change in (newer, numbered):
        with Gateway(server, change) as gateway:
            done = stepflow("doctor", "--no-run", "--url", gateway.url, "-o", "json")
            assert (done.code, checks_by_name(done)["release"]["status"]) == (0, "warning"), done


@pytest.mark.parametrize(("seconds", "direction"), [(3600, "ahead of"), (-3600, "behind")])
def test_clock_difference(seconds: int, direction: str, stepflow: Stepflow, server: str) -> None:
    def skewed(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if not path.endswith("/health"):
            return status, body
        health = json.loads(body)
        time = datetime.fromisoformat(health["timestamp"]) + timedelta(seconds=seconds)
        return status, json.dumps({**health, "timestamp": time.isoformat()}).encode()

    with Gateway(server, skewed) as gateway:
        done = stepflow("doctor", "--no-run", "--url", gateway.url, "-o", "json")
    check = checks_by_name(done)["clock"]
    assert (done.code, check["status"]) == (0, "warning")
    assert re.fullmatch(rf"the server's clock is (3599|3600|3601) s {direction} this machine's", check["message"])


def test_killed_worker(terminal: Callable[..., Terminal], stepflow: Stepflow) -> None:
    with StepflowRuntime.start(config=workers.config(releases.NEWEST)) as runtime:
        checks = ["doctor", "--no-run", "--url", runtime.url]
        assert checks_by_name(stepflow(*checks, "-o", "json"))["workers"]["message"] == "none is missing"
        (worker,) = psutil.Process(runtime.pid).children()
        worker.kill()
        while worker.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        done = stepflow(*checks, "-o", "json")
        screens = {width: terminal(*checks, width=width) for width in (60, 100)}
        assert [done.code, *(each.end() for each in screens.values())] == [0, 0, 0]
    check = checks_by_name(done)["workers"]
    assert (check["status"], check["message"]) == ("warning", f"worker {worker.pid} was killed by signal 9")
    for width, shown in screens.items():
        assert f"worker {worker.pid} was killed" in shown.screen
        assert max(map(len, shown.screen.splitlines())) <= width


@pytest.mark.exhaustive
def test_missing_worker(stepflow: Stepflow, golden: Golden) -> None:
    config = workers.config(releases.NEWEST)
    config["plugins"]["python"] = {"type": "grpc", "queueName": "python"}
    with StepflowRuntime.start(config=config) as runtime:
        # It does not start a run, which would wait for the worker.
        done = stepflow("doctor", "--url", runtime.url, "-o", "json")
        assert runtime.sync_client.list_runs().runs == []
    checks = checks_by_name(done)
    assert done.code == 1
    golden(json.dumps([checks["workers"], checks["events"]], indent=2) + "\n")


def test_buffered_events(stepflow: Stepflow, server: str, golden: Golden) -> None:
    with Gateway(server) as gateway:
        golden(normalize(stepflow("doctor", "--url", gateway.url)))


@pytest.mark.usefixtures("server")
def test_token_file_readable_by_others(stepflow: Stepflow, server: str, golden: Golden) -> None:
    token = stepflow.folder / "token"
    token.write_text("hidden\n")
    token.chmod(0o644)
    write_profiles(stepflow, f'[profiles.a]\nurl = "{server}"\ntoken_file = "{token}"\n')
    refused = stepflow("doctor", "--profile", "a", "--no-run", STEPFLOW_URL="")
    token.chmod(0o600)
    golden(normalize(refused), normalize(stepflow("doctor", "--profile", "a", "--no-run", STEPFLOW_URL="")))


@pytest.mark.parametrize("status", [401, 407])
def test_authorization(status: int, stepflow: Stepflow, server: str, golden: Golden) -> None:
    def guarded(path: str, code: int, body: bytes) -> tuple[int, bytes]:
        # Health checks often need no authorization.
        return (code, body) if path.endswith("/health") and status == 401 else (status, b"")

    with Gateway(server, guarded) as gateway:
        golden(
            normalize(stepflow("doctor", "--url", gateway.url)),
            normalize(stepflow("doctor", "--url", gateway.url, "-o", "jsonl", STEPFLOW_TOKEN="hidden")),
        )


def test_certificates(stepflow: Stepflow, server: str, tmp_path: Path, golden: Golden) -> None:
    fine = make_certificate(tmp_path / "fine")
    expired = make_certificate(tmp_path / "expired", last="2021")
    early = make_certificate(tmp_path / "early", first="2090")
    other = make_certificate(tmp_path / "other", names="DNS:elsewhere.example")
    printed = []
    for name, certificate in (("fine", fine), ("expired", expired), ("early", early), ("other", other)):
        with Gateway(server, certificate=certificate) as gateway:
            write_profiles(stepflow, f'[profiles.{name}]\nurl = "{gateway.url}"\nca_file = "{certificate}"\n')
            printed.append(stepflow("doctor", "--no-run", "--profile", name, STEPFLOW_URL=""))
            if name != "fine":
                continue
            # First without the CA file, then with `verify = false`.
            printed.append(stepflow("doctor", "--no-run", "--url", gateway.url))
            write_profiles(stepflow, f'[profiles.fine]\nurl = "{gateway.url}"\nverify = false\n')
            printed.append(stepflow("doctor", "--no-run", "--profile", "fine", STEPFLOW_URL=""))
            printed.append(stepflow("doctor", "--no-run", "--url", gateway.url.replace("https", "http")))
    printed.append(stepflow("doctor", "--no-run", "--url", server.replace("http", "https")))
    golden(*map(normalize, printed))


@pytest.mark.parametrize(
    ("keys", "file", "keys_in_hint"),
    [
        ('ca_file = "no.pem"', "no.pem", "ca_file"),
        ('cert_file = "no.pem"', "no.pem", "cert_file"),
        ('cert_file = "no.pem"\nkey_file = "config.toml"', "config.toml", "cert_file and key_file"),
        ('ca_file = "config.toml"', "config.toml", "ca_file"),
    ],
)
def test_certificate_files_that_cannot_be_loaded(
    keys: str, file: str, keys_in_hint: str, stepflow: Stepflow, server: str
) -> None:
    path = write_profiles(stepflow, f'[profiles.a]\nurl = "{server.replace("http", "https")}"\n{keys}\n')
    done = stepflow("doctor", "--no-run", "--profile", "a", "-o", "json", STEPFLOW_URL="")
    check = checks_by_name(done)["certificate"]
    assert (done.code, check["status"], check["hint"]) == (2, "error", f"correct {keys_in_hint} in the profile")
    assert f"{path.parent / file} cannot be loaded: " in check["message"]


def test_server_is_checked_even_if_profiles_are_invalid(stepflow: Stepflow, server: str) -> None:
    write_profiles(stepflow, "current = [")
    done = stepflow("doctor", "--no-run", "--url", server, "-o", "json", STEPFLOW_URL="")
    assert done.code == 2
    assert [checks_by_name(done)[name]["status"] for name in ("configuration", "stepflow", "release")] == [
        "error",
        "ok",
        "ok",
    ]


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
def test_server_configuration(config: str, status: str, message: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text(config)
    done = stepflow("doctor", "--no-run", "-o", "json", STEPFLOW_URL="http://127.0.0.1:9")
    check = checks_by_name(done)["server configuration"]
    assert (check["status"], check["message"]) == (status, message)
