"""docs/cli.md is what scripts/write_cli_page.py writes from the commands as they are."""

from __future__ import annotations

import tomllib

from scripts import write_cli_page


def test_the_page_is_written_from_the_commands() -> None:
    text, unknown = write_cli_page.page(tomllib.loads(write_cli_page.UPSTREAM.read_text()))
    assert unknown == []
    assert write_cli_page.PAGE.read_text() == text, "run `make generate` and commit docs/cli.md"


def test_every_section_names_the_options_of_its_command() -> None:
    sections = write_cli_page.PAGE.read_text().split("\n### ")[1:]
    texts = {section.partition("\n")[0]: section for section in sections}
    commands = dict(write_cli_page.walk("stepflow", write_cli_page.cli))
    assert len(texts) > 50
    for path, text in texts.items():
        for each in write_cli_page.options_of(commands[path]):
            if each.section not in write_cli_page.EVERYWHERE:
                assert each.names in text or f"`{each.names.split()[0].strip(',')}`" in text, (path, each.names)


def test_a_counterpart_that_does_not_exist_is_found() -> None:
    entries = {
        "run": {"--flow": {"ours": "run --flow"}, "--a": {"ours": "run --nothing"}, "--b": {"ours": "nothing --b"}}
    }
    assert write_cli_page.page(entries)[1] == ["run --nothing", "nothing --b"]


def test_every_flag_has_a_counterpart_or_a_reason() -> None:
    for flags in tomllib.loads(write_cli_page.UPSTREAM.read_text()).values():
        for flag, entry in flags.items():
            assert entry.get("ours") or entry.get("why"), flag


def test_the_page_says_where_behaviour_differs() -> None:
    text = write_cli_page.PAGE.read_text()
    for said in (
        "| global | `(exit codes)` |",
        "| run | `(the output)` |",
        '{"components": [...]}',
        "| global | `--other-log-level` |",
        "| global | `--omit-stack-trace` |",
        "| validate | `--type-check` |",
        "| test | `--max-concurrency` |",
    ):
        assert said in text, said
