"""The Markdown pages: their links lead somewhere, their words are plain, and each page of the site is in its menu."""

from __future__ import annotations

import functools
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest
import stepflow_client
from stepflow_cli.main import cli

from scripts import public_surface, write_cli_page, write_llms_txt

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md", "openapi/*.md", "benchmarks/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
PHRASES = {
    r"loses nothing on the way": "survives dropped connections",
    r"bring(s)? (a server of its own|its own)\b": "starts its own server",
    r"steps are done by": "workers execute their steps",
    r"for the occasion": "a temporary one it starts",
    r"what may be sent twice": "requests that are safe to repeat",
    r"is sent again when": "is retried when",
    r"spares the first request": "skips the version request",
    r"authorities for https": "CA certificates",
    r"arguments go before": "arguments override",
    r"when it is over": "on expiry",
    r"whatever is silent": "even if the server stops responding",
    r"what no client can mend": "server limitations",
    r"come near 1": "come close to 1",
    r"read and known to be no error": "raise on error responses",
    r"nobody has ever been there": "the server was never reachable",
    r"whatever befalls": "after errors",
    r"at most so many": "maximum number of",
    r"\bpatience\b": "deadline",
    r"the whole result is, of a run": "the whole result is printed, even for failed runs",
}
"""What to avoid, as a regular expression, and what to write."""


def prose(page: str) -> str:
    """Return a page without its code blocks, in which lines keep their numbers."""
    text = (ROOT / page).read_text("utf-8")
    return re.sub(r"^ {0,3}```.*?^ {0,3}```$", lambda code: "\n" * code[0].count("\n"), text, flags=re.M | re.S)


def found(text: str) -> list[str]:
    """Return each phrase to avoid with its line and what to write in its place."""
    one_line = re.sub(r"\s", " ", text)
    return [
        f"line {text.count(chr(10), 0, hit.start()) + 1}: {hit[0]!r}; write {better!r}"
        for phrase, better in PHRASES.items()
        for hit in re.finditer(phrase, one_line, re.I)
    ]


@functools.cache
def client_package() -> griffe.Module:
    loaded = griffe.load("stepflow_client", search_paths=[str(public_surface.SOURCES)], resolve_aliases=True)
    assert isinstance(loaded, griffe.Module)
    return loaded


def docstrings() -> Iterator[tuple[str, str]]:
    """Return the name and text of each public docstring of the client, and of each help text of the command."""
    package = client_package()
    yield "stepflow_client", package.docstring.value
    for name in map(str, package.exports):
        exported = package[name.strip("'")].final_target
        for each in (exported, *exported.members.values()):
            if each.docstring and (each is exported or not each.name.startswith("_")):
                yield each.path, each.docstring.value
    for path, context in write_cli_page.walk("stepflow", cli):
        yield path, context.get_help()


def slug(heading: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for label, target in re.findall(r"\[([^]]*)\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f"{page}: [{label}]({target}): there is no such file"
        # A picture for one of the site's themes is marked by its fragment.
        if anchor and anchor not in ("only-light", "only-dark"):
            headings = re.findall(r"^#+ (.*)$", prose(path.resolve().relative_to(ROOT).as_posix()), re.M)
            assert anchor in map(slug, headings), f"{page}: [{label}]({target}): there is no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_in_plain_english(page: str) -> None:
    if told := [f"{page}, {phrase}" for phrase in found(prose(page))]:
        pytest.fail("\n".join(told), pytrace=False)


def test_docstrings_are_in_plain_english() -> None:
    read = list(docstrings())
    assert len(read) > 200
    told = [f"{name}: {phrase}" for name, text in read for phrase in found(text)]
    assert not told, "\n".join(told)


def test_every_public_name_is_in_the_reference() -> None:
    entries = set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        text = page.read_text("utf-8")
        # A synchronous twin is named beside its asynchronous one, which has the entry.
        entries |= set(re.findall(r"`(Sync\w+)`", text))
        for entry in re.findall(r"^::: (\S+)$", text, re.M):
            try:
                entries |= set(importlib.import_module(entry).__all__)
            except ModuleNotFoundError:
                entries.add(entry.rpartition(".")[2])
    assert set(stepflow_client.__all__) - entries == set()


def test_signatures_show_the_values_of_their_defaults() -> None:
    # NOT_GIVEN stands for an argument that is left out.
    constant = re.compile(r"_?[a-z]\w*\.\w+|(?!NOT_GIVEN)[A-Z][A-Z_]+")
    hidden = []
    for name in map(str, client_package().exports or []):
        exported = client_package()[name.strip("'")].final_target
        for each in (exported, *exported.members.values()):
            if each.is_function and (not each.name.startswith("_") or each.name == "__init__"):
                hidden += [f"{each.path}: {at}" for at in each.parameters if constant.fullmatch(str(at.default))]
    assert hidden == []


def test_an_odd_phrase_is_told_with_its_line() -> None:
    assert found("Fine.\nWhat may be\nsent twice is.") == [
        "line 2: 'What may be sent twice'; write 'requests that are safe to repeat'"
    ]


def test_every_page_of_the_site_is_in_its_menu() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed = {file for _, file in write_llms_txt.pages(nav)}
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    wrong = listed ^ {page for page in pages if not page.endswith(".notes.md")}
    assert not wrong, f"add the page to nav in zensical.toml, or remove it there: {wrong}"


def test_the_list_of_pages_is_the_written_one() -> None:
    assert write_llms_txt.text() == (ROOT / "docs" / "llms.txt").read_text("utf-8"), (
        "run `make docs`, commit docs/llms.txt"
    )
