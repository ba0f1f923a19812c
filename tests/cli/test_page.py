"""docs/cli.md is up to date with the output of scripts/write_cli_page.py."""

from __future__ import annotations

from scripts import write_cli_page


def test_page_is_up_to_date() -> None:
    assert write_cli_page.PAGE.read_text() == write_cli_page.page(), "run `make generate` and commit docs/cli.md"


def test_every_section_has_the_options_of_its_command() -> None:
    sections = write_cli_page.PAGE.read_text().split("\n### ")[1:]
    texts = {section.partition("\n")[0]: section for section in sections}
    commands = dict(write_cli_page.walk("stepflow", write_cli_page.cli))
    assert len(texts) > 50
    for path, text in texts.items():
        for each in write_cli_page.options_of(commands[path]):
            if each.section not in write_cli_page.EVERYWHERE:
                assert each.names in text or f"`{each.names.split()[0].strip(',')}`" in text, (path, each.names)
