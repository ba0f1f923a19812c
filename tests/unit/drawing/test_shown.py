"""Everything that notebooks show as HTML has a representation."""

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


def shown(base: type) -> Iterator[type]:
    for each in base.__subclasses__():
        # A dataclass with slots is made a second time; only the second class has the name.
        if getattr(sys.modules[each.__module__], each.__name__.partition("[")[0], None) is each:
            yield each
        yield from shown(each)


CLASSES = sorted({each for each in shown(Shown) if each.__module__.startswith("stepflow_client")}, key=repr)


@pytest.mark.parametrize("cls", [each for each in CLASSES if each is not Records], ids=repr)
def test_every_shown_class_has_a_representation(cls: type) -> None:
    assert notebook_html.format_html.dispatch(cls) is not notebook_html.format_html.dispatch(object)


def test_the_classes_are_all_of_them() -> None:
    assert {Listing, stepflow_client.RunHandle, stepflow_client.FlowResult} <= {*CLASSES}


def test_a_handle_is_shown_without_a_request() -> None:
    handle = SyncStepflowClient("http://127.0.0.1:9").handle(RUN_ID)
    assert RUN_ID in handle._repr_html_()
    assert "http://127.0.0.1:9" in handle._repr_mimebundle_()["text/html"]
