"""`stepflow config` shows and edits settings and profiles."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

FORMS = ("table", "json", "jsonl", "yaml", "name")
WRITTEN = """\
# My servers.
current = "prod" # for now

[profiles.prod]
url = "https://prod.example.com/stepflow"  # behind the gateway
token_command = ["pass", "show", "stepflow"]
timeout = 60

# Only from inside.
[profiles."dev.local"]
url = "http://dev:7837"
verify = false
"""


@pytest.fixture
def file(stepflow: Stepflow) -> Path:
    """An existing file with profiles."""
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(WRITTEN)
    return path


def test_list_without_settings(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("config", "list"),
        stepflow("config", "list", "--show-origin"),
        stepflow("config"),
    )


@pytest.mark.usefixtures("file")
def test_list(stepflow: Stepflow, golden: Golden) -> None:
    secret = {"STEPFLOW_TOKEN": "hidden", "STEPFLOW_URL": "https://user:hidden@host:7837/path"}
    printed = [
        *(stepflow("config", "list", "--show-origin", "-o", form) for form in FORMS),
        stepflow("config", "list", "-o", "jsonl"),
        stepflow("config", "list", "--show-origin", **secret, STEPFLOW_TIMEOUT="5"),
        stepflow("config", "list", "--show-origin", "--profile", "dev.local", HTTP_PROXY="http://me:hidden@proxy:3128"),
        stepflow("config", "list", "--profile", "dev.local", HTTP_PROXY="http://proxy:3128", NO_PROXY="dev,other"),
        stepflow(
            "config", "list", "--show-origin", "--url", "http://me:hidden@localhost", STEPFLOW_CONFIG_FILE="/none"
        ),
        stepflow("config", "list", "--fields", "name,origin", "-o", "name"),
    ]
    assert not [done for done in printed if "hidden" in done.stdout + done.stderr]
    golden(*printed)


@pytest.mark.usefixtures("file")
def test_on_a_terminal(terminal: Callable[..., Terminal], golden: Golden) -> None:
    lines = ("list", "list --show-origin", "get url", "set timeout 5", "use dev.local")
    # `str` waits until the command exits, so the commands run one after another.
    golden(*[str(terminal("config", *line.split())) for line in lines])


@pytest.mark.usefixtures("file")
def test_get(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("config", "get", "url"),
        *(stepflow("config", "get", "url", "-o", form) for form in FORMS),
        stepflow("config", "get", "token"),
        stepflow("config", "get", "verify"),
        stepflow("config", "get", "profiles"),
        stepflow("config", "get", "current"),
        stepflow("config", "get", "profiles.prod"),
        stepflow("config", "get", "profiles.dev.local", "-o", "yaml"),
        stepflow("config", "get", "profiles.dev.local.verify"),
        stepflow("config", "get", "url", "--profile", "dev.local"),
        stepflow("config", "get", "proxy"),
        stepflow("config", "get", "profiles.prod.proxy", "-o", "json"),
        stepflow("config", "get", "profiles.pord"),
        stepflow("config", "get", "profiles.prod.ulr"),
        stepflow("config", "get", "ulr"),
        stepflow("config", "get"),
    )


@pytest.mark.usefixtures("file")
def test_set(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("config", "set", "profiles.new.url", "https://new"),
        stepflow("config", "set", "timeout", "2.5"),
        *(stepflow("config", "set", "profiles.new.verify", "false", "-o", form) for form in FORMS),
        stepflow("config", "set", "token_file", "~/token", "--profile", "new"),
        stepflow("config", "set", "profiles.dev.local.token_command", '["pass", "show", "a b"]'),
        stepflow("config", "set", "current", "new"),
        stepflow("config", "list", "--show-origin"),
    )


@pytest.mark.usefixtures("file")
def test_set_invalid_values(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("config", "set", "token", "hidden"),
        stepflow("config", "set", "profiles.prod.password", "hidden", "-o", "json"),
        stepflow("config", "set", "token_env", "TOKEN"),
        stepflow("config", "set", "profiles.prod.timout", "5"),
        stepflow("config", "set", "timout", "5"),
        stepflow("config", "set", "timeout", "soon"),
        stepflow("config", "set", "verify", "maybe"),
        stepflow("config", "set", "url", "https://user:hidden@prod"),
        stepflow("config", "set", "profiles.pord.timeout", "5"),
        stepflow("config", "set", "profiles.elsewhere.timeout", "5"),
        stepflow("config", "set", "profiles.prod", "5"),
        stepflow("config", "set", "profiles.prod.timeout", "5", "--profile", "prod"),
        stepflow("config", "set", "current", "pord"),
        stepflow("config", "set", "timeout"),
        stepflow("config", "set", "url", "http://x", STEPFLOW_CONFIG_FILE="none.toml"),
    )


def test_unset(stepflow: Stepflow, file: Path, golden: Golden) -> None:
    golden(
        stepflow("config", "unset", "timeout"),
        stepflow("config", "unset", "timeout"),
        stepflow("config", "unset", "url"),
        stepflow("config", "unset", "profiles.pord"),
        stepflow("config", "unset", "profiles.prod.tokn_env"),
        stepflow("config", "unset", "profiles.dev.local", "-o", "json"),
        stepflow("config", "unset", "profiles.prod"),
        stepflow("config", "unset", "current"),
    )
    assert "profiles" not in file.read_text()
    assert "current" not in file.read_text()


@pytest.mark.usefixtures("file")
def test_use(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("config", "use", "dev.local"),
        stepflow("config", "get", "current"),
        stepflow("config", "use", "prod", "-o", "json"),
        stepflow("config", "use", "pord"),
        stepflow("config", "use", "prod", STEPFLOW_URL="http://other"),
        stepflow("config", "use"),
        stepflow("config", "use", "prod", STEPFLOW_CONFIG_FILE="none.toml"),
    )


def test_rest_of_the_file_is_unchanged(stepflow: Stepflow, file: Path) -> None:
    assert stepflow("config", "set", "profiles.dev.local.ca_file", "ca.pem").code == 0
    assert stepflow("config", "set", "timeout", "61").code == 0
    assert stepflow("config", "use", "dev.local").code == 0
    changed = WRITTEN.replace('"prod"', '"dev.local"').replace("60", "61") + 'ca_file = "ca.pem"\n'
    assert file.read_text() == changed
    # A file without a current profile gets it before its first table.
    file.write_text(WRITTEN.replace('current = "prod" # for now\n\n', ""))
    assert stepflow("config", "use", "prod").code == 0
    text = file.read_text()
    assert text.index("# My servers") < text.index('current = "prod"') < text.index("[profiles.prod]")


@pytest.mark.parametrize(
    "text",
    [
        'profiles = {a = {url = "u"}}\n',
        '[profiles]\na = {url = "u"}\n',
        '[profiles]\n[profiles.a]\nurl = "u"\n',
        '[profiles.a]\nurl = "u"\n[profiles.b]\nurl = "v"\n',
        '[profiles]\na.url = "u"\n',
    ],
)
def test_every_notation_of_profiles_can_be_edited(text: str, stepflow: Stepflow, file: Path) -> None:
    file.write_text(text)
    for args in (
        ("set", "profiles.a.timeout", "5"),
        ("set", "profiles.new.url", "w"),
        ("use", "new"),
        ("unset", "profiles.a.timeout"),
        ("set", "profiles.a.verify", "false"),
        ("unset", "profiles.new"),
    ):
        done = stepflow("config", *args)
        assert done.code == 0, (done, file.read_text())
    assert stepflow("config", "get", "profiles.a", "-o", "jsonl").stdout == '{"url": "u", "verify": false}\n'
    assert stepflow("config", "get", "current").code == 1


def test_notation_that_cannot_be_edited_safely_is_refused(stepflow: Stepflow, file: Path, golden: Golden) -> None:
    text = 'profiles.a.url = "u"\nprofiles.a.timeout = 5\n'
    file.write_text(text)
    golden(stepflow("config", "set", "profiles.new.url", "w"))
    assert file.read_text() == text


def test_file_is_private_and_links_are_kept(stepflow: Stepflow, file: Path) -> None:
    file.chmod(0o644)
    linked = stepflow.folder / "link.toml"
    linked.symlink_to(file)
    assert stepflow("config", "set", "timeout", "5", STEPFLOW_CONFIG_FILE="link.toml").code == 0
    assert linked.is_symlink()
    assert "timeout = 5" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["config.toml"]
    new = stepflow.folder / "a" / "b" / "config.toml"
    assert stepflow("config", "set", "profiles.a.url", "u", STEPFLOW_CONFIG_FILE=str(new)).code == 0
    assert stat.S_IMODE(new.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_file_with_bom_and_crlf(stepflow: Stepflow, file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[profiles.a]\r\nurl = "http://a"\r\n')
    assert stepflow("config", "set", "profiles.a.timeout", "5").code == 0
    assert stepflow("config", "get", "profiles.a", "-o", "jsonl").stdout == '{"url": "http://a", "timeout": 5}\n'


SPECIAL_NAMES = [
    ("a.b", "a.b"),
    ("a b", "a b"),
    ('a"b', 'a"b'),
    ("it's", "it's"),
    ('"a', '"a'),
    (".", "."),
    ("url", "url"),
]
SPECIAL_NAMES += [('"a.b"', '"a.b"'), ('"a"."b"', '"a"."b"'), ("ü", "ü"), ("a\nb", "a\nb")]


@pytest.mark.parametrize(("typed", "name"), SPECIAL_NAMES)
def test_profile_names_with_special_characters(typed: str, name: str, stepflow: Stepflow) -> None:
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    for arguments in (["set", f"profiles.{typed}.url", "http://x"], ["set", f"profiles.{typed}.timeout", "5"]):
        done = stepflow("config", *arguments)
        assert (done.code, done.stderr) == (0, ""), done
    assert tomllib.loads(path.read_text()) == {"profiles": {name: {"url": "http://x", "timeout": 5}}}
    assert stepflow("config", "use", typed).code == 0
    assert tomllib.loads(path.read_text())["current"] == name
    assert stepflow("config", "get", f"profiles.{typed}.timeout").stdout == "5\n"
    assert stepflow("config", "unset", f"profiles.{typed}.timeout").code == 0
    assert stepflow("config", "unset", f"profiles.{typed}").code == 0
    assert path.read_text() == ""


@pytest.mark.usefixtures("file")
def test_special_names_on_a_terminal(terminal: Callable[..., Terminal], golden: Golden) -> None:
    lines = [
        ["set", "profiles.it's prod.url", "http://prod"],
        ["use", "it's prod"],
        ["use", ""],
        ["unset", "profiles.it's prod.url"],
        ["set", "profiles..url", "http://prod"],
    ]
    golden(*[str(terminal("config", *arguments, width=100)) for arguments in lines])


DEEP = {
    "lists": f'[profiles.a]\nurl = "http://x"\ntimeout = {"[" * 200}{"]" * 200}\n',
    "tables": f'[profiles.a]\nurl = "http://x"\n[profiles.a.{".".join("x" * 3000)}]\n',
    "values": f'[profiles.a]\nurl = "http://x"\nproxy = {"{a=" * 900}1{"}" * 900}\n',
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_too_deeply_nested_file(text: str, stepflow: Stepflow, file: Path) -> None:
    file.write_text(text)
    for arguments in (
        ["list"],
        ["get", "profiles.a"],
        ["set", "profiles.a.timeout", "5"],
        ["use", "a"],
        ["unset", "profiles.a"],
    ):
        done = stepflow("config", *arguments)
        message = f"stepflow: {file} is nested too deeply\nhint: fix it in an editor\n"
        assert (done.code, done.stdout, done.stderr) == (2, "", message)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[profiles.a]\nurl = "x"\nurl = "y"\n', "a key is defined twice in one table (at line 3, column 10)"),
        ('[profiles.a]\nurl = "x"\n[profiles.a]\n', "the table profiles.a is defined twice (at line 3, column 12)"),
        ('profiles.a = {url = "x", url = "y"}\n', "a key is defined twice in one table (at line 1, column 35)"),
    ],
)
def test_duplicate_keys_are_reported(text: str, reason: str, stepflow: Stepflow, file: Path) -> None:
    file.write_text(text)
    for arguments in (["list"], ["use", "a"], ["set", "profiles.a.timeout", "5"]):
        done = stepflow("config", *arguments)
        message = f"stepflow: {file} is not TOML: {reason}\nhint: fix it in an editor\n"
        assert (done.code, done.stdout, done.stderr) == (2, "", message)


def test_profile_without_a_name_is_refused(stepflow: Stepflow) -> None:
    for key in ("profiles..url", "profiles."):
        done = stepflow("config", "set", key, "http://a")
        assert (done.code, done.stderr) == (2, f"stepflow: {key} names no profile\nhint: use profiles.NAME.KEY\n")


def test_unusable_files(stepflow: Stepflow, file: Path, golden: Golden) -> None:
    file.write_text("current = [")
    broken = [
        stepflow("config", "list"),
        stepflow("config", "set", "profiles.a.url", "u"),
        stepflow("config", "use", "a"),
    ]
    assert file.read_text() == "current = ["
    (stepflow.folder / "folder").mkdir()
    golden(
        *broken,
        stepflow("config", "set", "profiles.a.url", "u", STEPFLOW_CONFIG_FILE="folder"),
        stepflow("config", "set", "profiles.a.url", "u", STEPFLOW_CONFIG_FILE="hello.yaml/config.toml"),
        stepflow("config", "ste", "profiles.a.url", "u"),
    )


def test_no_proxy_does_not_apply_to_a_profile_proxy(stepflow: Stepflow) -> None:
    for key, value in {"url": "http://server.example", "proxy": "http://127.0.0.1:9"}.items():
        stepflow("config", "set", f"profiles.far.{key}", value)
    hint = stepflow("health", "--profile", "far", NO_PROXY="server.example").stderr.splitlines()[-1]
    assert hint.startswith("hint: correct the proxy of profile far in ")
    assert hint.endswith(", or remove it")


@pytest.mark.parametrize("key", ["profiles.a", "profiles.a.proxy"])
def test_proxy_password_is_not_shown(key: str, stepflow: Stepflow) -> None:
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('[profiles.a]\nurl = "http://server"\nproxy = "http://me:hidden@proxy:3128"\n')
    done = stepflow("config", "get", key)
    assert done.code == 0, done
    assert "http://proxy:3128" in done.stdout
    assert "hidden" not in done.stdout


@pytest.mark.parametrize("url", ["ftp://foo", "not a url", "http://", "http://a:port"])
def test_invalid_url_is_refused(url: str, stepflow: Stepflow) -> None:
    done = stepflow("config", "set", "profiles.x.url", url)
    assert done.code == 2
    assert stepflow("config", "get", "profiles.x").code == 1
