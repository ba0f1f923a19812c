"""The Markdown pages: links resolve, the reference is complete, and each page is in the site's menu."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import griffe
import pytest
import stepflow_client

from scripts import public_surface, write_llms_txt

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md", "openapi/*.md", "benchmarks/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


def prose(page: str) -> str:
    """Return a page without its code blocks, keeping line numbers."""
    text = (ROOT / page).read_text("utf-8")
    return re.sub(r"^ {0,3}```.*?^ {0,3}```$", lambda code: "\n" * code[0].count("\n"), text, flags=re.M | re.S)


@functools.cache
def client_package() -> griffe.Module:
    loaded = griffe.load("stepflow_client", search_paths=[str(public_surface.SOURCES)], resolve_aliases=True)
    assert isinstance(loaded, griffe.Module)
    return loaded


def slug(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip())


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
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


def test_every_public_name_is_in_the_reference() -> None:
    entries = set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        text = page.read_text("utf-8")
        # A synchronous twin is named next to its asynchronous class, which has the entry.
        entries |= set(re.findall(r"`(Sync\w+)`", text))
        for entry in re.findall(r"^::: (\S+)$", text, re.M):
            try:
                entries |= set(importlib.import_module(entry).__all__)
            except ModuleNotFoundError:
                entries.add(entry.rpartition(".")[2])
    assert set(stepflow_client.__all__) - entries == set()


def test_the_reference_shows_inherited_properties() -> None:
    text, hidden = (ROOT / "docs" / "reference" / "types.md").read_text("utf-8"), set()
    for entry, options in re.findall(r"^::: (\S+)\n((?: +.+\n)+)", text, re.M):
        module, shown = importlib.import_module(entry), re.findall(r"inherited_members: (.*)", options)[0]
        for kind in filter(inspect.isclass, map(vars(module).get, module.__all__)):
            bases = [base for base in kind.__mro__ if base.__module__ == entry and base.__name__ not in module.__all__]
            shared = {name for base in bases for name, part in vars(base).items() if isinstance(part, property)}
            hidden |= {f"{entry}.{kind.__name__}.{name}" for name in shared - {*re.findall(r"\w+", shown)}}
    assert hidden == set()


def test_signatures_show_the_values_of_their_defaults() -> None:
    # NOT_GIVEN stands for an omitted argument.
    constant = re.compile(r"_?[a-z]\w*\.\w+|(?!NOT_GIVEN)[A-Z][A-Z_]+")
    hidden = []
    for name in map(str, client_package().exports or []):
        exported = client_package()[name.strip("'")].final_target
        for each in (exported, *exported.members.values()):
            if each.is_function and (not each.name.startswith("_") or each.name == "__init__"):
                hidden += [f"{each.path}: {at}" for at in each.parameters if constant.fullmatch(str(at.default))]
    assert hidden == []


def test_every_page_of_the_site_is_in_its_menu() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    listed = {file for _, file in write_llms_txt.pages(nav)}
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    wrong = listed ^ {page for page in pages if not page.endswith(".notes.md")}
    assert not wrong, f"add the page to nav in zensical.toml, or remove it there: {wrong}"


def test_llms_txt_is_up_to_date() -> None:
    assert write_llms_txt.text() == (ROOT / "docs" / "llms.txt").read_text("utf-8"), (
        "run `make docs`, commit docs/llms.txt"
    )
