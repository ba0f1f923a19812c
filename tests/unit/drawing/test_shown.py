"""Every class that notebooks show as HTML has a renderer."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import stepflow_client
from stepflow_client import SyncStepflowClient
from stepflow_client.drawing import notebook_html
from stepflow_client.types.model_base import Listing, Records, Shown

RUN_ID = "01900000-0000-7000-8000-000000000001"
for _name in stepflow_client.__all__:
    getattr(stepflow_client, _name)


def subclasses(base: type) -> Iterator[type]:
    for each in base.__subclasses__():
        # `@dataclass(slots=True)` creates a second class, and only that one is in the module.
        if getattr(sys.modules[each.__module__], each.__name__.partition("[")[0], None) is each:
            yield each
        yield from subclasses(each)


CLASSES = sorted({each for each in subclasses(Shown) if each.__module__.startswith("stepflow_client")}, key=repr)


@pytest.mark.parametrize("cls", [each for each in CLASSES if each is not Records], ids=repr)
def test_every_shown_class_has_a_renderer(cls: type) -> None:
    assert notebook_html.format_html.dispatch(cls) is not notebook_html.format_html.dispatch(object)


def test_indirect_subclasses_are_included() -> None:
    assert {Listing, stepflow_client.RunHandle, stepflow_client.FlowResult} <= {*CLASSES}


def test_a_handle_is_shown_without_a_request() -> None:
    handle = SyncStepflowClient("http://127.0.0.1:9").handle(RUN_ID)
    assert RUN_ID in handle._repr_html_()
    assert "http://127.0.0.1:9" in handle._repr_mimebundle_()["text/html"]
