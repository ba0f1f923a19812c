"""Flows that use every authoring construct; constructs.yaml holds the same flows written by hand, with sample runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, TypedDict

import attrs
import msgspec
from pydantic import BaseModel, Field
from stepflow_client.authoring import (
    Flow,
    Name,
    OnError,
    Turn,
    again,
    builtin,
    coalesce,
    component,
    construct,
    done,
    each,
    exists,
    flow,
    if_unset,
    item,
    iterate,
    literal,
    on_error,
    variable,
    when,
)

FLOWS: dict[str, Flow[Any, Any, ...]] = {}


def register(new: Flow[Any, Any, ...]) -> Flow[Any, Any, ...]:
    FLOWS[new.name] = new
    return new


# Paths and literals.


@register
@flow
def whole_input(given: Any) -> Any:
    return given


@register
@flow
def field_of_input(given: Any) -> Any:
    return given.a.b


@register
@flow
def element_of_input(given: Any) -> Any:
    return given.list[1].name


@register
@flow
def item_of_input(given: Any) -> Any:
    return item(given, "list", 0, "name")


@register
@flow
def quoted_names(given: Any) -> Any:
    return [given["a b"], given["c*"], given["ü"]]


@register
@flow
def constants(given: Any) -> Any:
    return {"text": "x", "number": 1.5, "integer": 3, "flag": True, "nothing": None, "list": [], "object": {}}


@register
@flow
def nested_data(given: Any) -> Any:
    return {"a": [{"b": given.x}, [given.y, 1]], "c": (1, given.x)}


@register
@flow
def data_that_looks_like_an_expression(given: Any) -> Any:
    return {"data": literal({"$step": "none", "path": "$.x"}), "text": "$input"}


@register
@flow
def null_as_an_argument(given: Any) -> Any:
    return builtin.put_blob(data=literal(None), blob_type="data").blob_id


class Size(StrEnum):
    BIG = "big"


class Colour(Enum):
    RED = "red"


@register
@flow
def other_values(given: Any) -> Any:
    return {"day": date(2026, 11, 27), "colour": Colour.RED, "size": Size.BIG}


# Steps.


@register
@flow
def one_step(given: Any) -> Any:
    return builtin.create_messages(user_prompt=given.text).messages[0].content


@register
@flow
def whole_output(given: Any) -> Any:
    return builtin.put_blob(data=given, blob_type="data", step="blob")


@register
@flow
def chain(given: Any) -> Any:
    blob = builtin.put_blob(data={"deep": [given]}, blob_type="data")
    found = builtin.get_blob(blob_id=blob.blob_id)
    return found.data.deep[0]


@register
@flow
def ids(given: Any) -> Any:
    first = builtin.put_blob(data="one", blob_type="data")
    builtin.put_blob(data="two", blob_type="data", must_execute=True)
    builtin.put_blob(data="three", blob_type="data", must_execute=True)
    named = builtin.put_blob(data="four", blob_type="data", step="the fourth")
    return [first.blob_id, named.blob_id]


@register
@flow
def a_loop_of_python(given: Any) -> Any:
    blobs = []
    for word in ("zero", "one", "two"):
        blob = builtin.put_blob(data=word, blob_type="data")
        blobs.append(blob.blob_id)
    return blobs


@register
@flow
def a_comprehension(given: Any) -> Any:
    return [builtin.create_messages(user_prompt=text).messages[0].content for text in ("a", "b")]


@register
@flow
def step_with_metadata(given: Any) -> Any:
    blob = builtin.put_blob(data="one", blob_type="data", metadata={"owner": "shop", "tags": ["a"]})
    return blob.blob_id


@register
@flow
def must_execute_alone(given: Any) -> None:
    builtin.put_blob(data=given, blob_type="data", step="kept", must_execute=True)


@component("/builtin/create_messages")
def whole(input: Any, /, *, step: str | None = None) -> Any:
    """The only argument is the whole input."""
    raise NotImplementedError


@register
@flow
def input_as_a_whole(given: Any) -> Any:
    return whole(given).messages[0].content


@component("/builtin/create_messages")
def renamed(
    *, prompt: Annotated[str, Name("user_prompt")], system: Annotated[str | None, Name("system_instructions")] = None
) -> Any:
    raise NotImplementedError


@register
@flow
def renamed_arguments(given: Any) -> Any:
    return renamed(prompt=given.text, system=None).messages[0].content


@component("/builtin/create_messages")
def open_ended(**fields: Any) -> Any:
    raise NotImplementedError


@register
@flow
def other_arguments(given: Any) -> Any:
    return open_ended(user_prompt=given.text).messages[0].content


@component("/builtin/create_messages")
def without_arguments(*, step: str | None = None, on_error: OnError[Any] | None = None) -> Any:
    raise NotImplementedError


@register
@flow
def no_input(given: Any) -> Any:
    return without_arguments(on_error=on_error.use_default({"messages": []})).messages


# Errors.


@register
@flow
def default_of_a_failed_step(given: Any) -> Any:
    found = builtin.get_blob(blob_id="none", on_error=on_error.use_default(builtin.GetBlobOutput(data=5)))
    return found.data


@register
@flow
def null_default(given: Any) -> Any:
    found = builtin.get_blob(blob_id="none", on_error=on_error.use_default())
    return coalesce(found, "nothing")


@register
@flow
def fails(given: Any) -> Any:
    blob = builtin.put_blob(data=given, blob_type="data", on_error=on_error.fail())
    return blob.blob_id


@register
@flow
def retries(given: Any) -> Any:
    return builtin.put_blob(data="one", blob_type="data", on_error=on_error.retry()).blob_id


@register
@flow
def retries_twice(given: Any) -> Any:
    return builtin.put_blob(data="one", blob_type="data", on_error=on_error.retry(2)).blob_id


@register
@flow
def around_a_failure(given: Any) -> Any:
    found = builtin.get_blob(blob_id="none")
    return when(exists(found), found.data, "failed")


# Conditions.


@register
@flow
def a_choice(given: Any) -> Any:
    return when(given.flag, given.yes, given.no)


@register
@flow
def a_choice_without_else(given: Any) -> Any:
    return {"value": when(given.flag, "yes")}


@register
@flow
def a_choice_of_null(given: Any) -> Any:
    return {"value": when(given.flag, "yes", None)}


@register
@flow
def nested_choices(given: Any) -> Any:
    return when(given.a, when(given.b, 1, 2), {"else": [when(given.b, 3, 4)]})


@register
@flow
def a_part_of_a_choice(given: Any) -> Any:
    return when(given.flag, given.yes, given.no).name


@register
@flow
def a_missing_path_in_a_condition(given: Any) -> Any:
    return when(exists(given.not_there), 1, 2)


@register
@flow
def steps_of_branches(given: Any) -> Any:
    yes = builtin.create_messages(user_prompt="yes")
    no = builtin.create_messages(user_prompt="no")
    return when(given.flag, yes.messages[0].content, no.messages[0].content)


@register
@flow
def first_that_is_there(given: Any) -> Any:
    return coalesce(given.a, given.b, "end")


@register
@flow
def first_of_steps(given: Any) -> Any:
    blob = builtin.put_blob(data={"note": None}, blob_type="data")
    note = builtin.get_blob(blob_id=blob.blob_id)
    return coalesce(note.data.note, given.text)


@register
@flow
def choice_in_an_input(given: Any) -> Any:
    return builtin.create_messages(user_prompt=when(given.flag, coalesce(given.text, "none"), "no")).messages[0].content


# Variables.


@register
@flow
def a_variable(given: Any, *, tone: str) -> Any:
    return tone


@register
@flow
def a_variable_with_default(given: Any, *, tone: str = variable(default="friendly")) -> Any:
    return {"tone": tone}


@register
@flow
def a_plain_default(given: Any, *, tone: str = "formal", level: int = 3) -> Any:
    return [tone, level]


@register
@flow
def part_of_a_variable(given: Any, *, options: dict[str, Any]) -> Any:
    return options["deep"][0]


@register
@flow
def an_inline_default(given: Any, *, tone: Any = variable(required=False)) -> Any:  # noqa: B008
    return if_unset(tone, given.text)


@register
@flow
def a_secret(given: Any, *, key: str = variable(env_var="API_KEY", secret=True, description="The key.")) -> Any:
    return builtin.create_messages(user_prompt=key).messages[0].role


@register
@flow
def a_renamed_variable(given: Any, *, tone: Annotated[str, Name("tone-of-voice")] = "dry") -> Any:
    return tone


@register
@flow
def without_input(*, tone: str = "dry") -> Any:
    return tone


# Sub-flows.


@register
@flow
def for_each(given: Any) -> Any:
    return each(given.texts, lambda text: builtin.create_messages(user_prompt=text).messages[0].content)


@register
@flow
def for_each_of_a_list(given: Any) -> Any:
    texts = each(["a", given.text], lambda text: {"text": text}, max_concurrency=2)
    return [texts.results[1].result.text, texts.successful]


@register
@flow
def for_each_with_the_flow_around_it(given: Any, *, tone: str = "dry") -> Any:
    blob = builtin.put_blob(data=given.texts[0], blob_type="data")
    return each(given.texts, lambda text: [text, blob.blob_id, tone, given.text, given.text]).results[0].result


@register
@flow
def for_each_of_each(given: Any) -> Any:
    return each(given.lists, lambda texts: each(texts, lambda text: [text, given.text]).results[0].result)


def shout(text: str) -> Any:
    first = builtin.create_messages(user_prompt=text)
    second = builtin.create_messages(user_prompt=first.messages[0].content)
    return second.messages[0].content


@register
@flow
def for_each_with_a_function(given: Any) -> Any:
    shouts = each(given.texts, shout, step="shouts", must_execute=True, metadata={"a": 1})
    return shouts.results


@register
@flow
def for_each_with_a_flow(given: Any) -> Any:
    return each(given.texts, a_helper, on_error=on_error.retry()).failed


@flow
def a_helper(text: Any, *, system: str = variable(default="Be brief.")) -> Any:
    """Has steps of its own."""
    prompt = builtin.create_messages(user_prompt=text, system_instructions=system)
    return prompt.messages[1].content


@register
@flow
def a_flow_in_a_flow(given: Any) -> Any:
    prompt = builtin.create_messages(user_prompt="x")
    inner = a_helper(given.text, system=prompt.messages[0].content)
    return [inner, a_helper("fixed")]


@register
@flow
def turns(given: Any) -> Any:
    def turn(state: Any) -> Turn[Any, Any]:
        return when(exists(state.rest), again(state.rest), done(state.text))

    last = iterate(given, turn, max_iterations=10)
    return {"result": last.result, "iterations": last.iterations}


@register
@flow
def one_turn(given: Any) -> Any:
    return iterate(given, lambda state: done([state, given])).result


@register
@flow
def a_stored_flow(given: Any) -> Any:
    stored = builtin.put_blob(data=a_helper, blob_type="flow")
    return builtin.eval_(flow_id=stored.blob_id, input=given.text).result.result


# Schemas and the rest of a file.


@dataclass
class Article:
    """An article of the shop."""

    sku: str
    price: float
    colour: Literal["red", "blue"] = "red"
    parts: list[Article] | None = None
    vat_rate: Annotated[float | None, Name("vat-rate")] = None


@register
@flow(version="1.2", description="Prices.", metadata={"team": "shop"}, name="all keys")
def all_keys(given: Article) -> float:
    return given.price


all_keys.example("cheap", Article(sku="a", price=1.0), description="A cheap one.")
all_keys.case("cheap", Article(sku="a", price=1.0), output=1.0)
all_keys.case("failing", Article(sku="a", price=2.0), error={"code": "INVALID_INPUT", "message": "no"}, description="x")


class Keys(TypedDict, total=False):
    name: str
    sizes: dict[str, int]


@register
@flow(test_config="stepflow-config.yml")
def typed_dict(given: Keys) -> int | None:
    """Read a dict.

    In two paragraphs.
    """
    return given["sizes"]["small"]


typed_dict.case("one", {"sizes": {"small": 1}})


class Model(BaseModel):
    total: float = Field(ge=0, description="What is paid.")
    text: str | None = None
    vat: float = Field(default=0.2, alias="vatRate")


@register
@flow
def pydantic_models(given: Model) -> Model:
    return construct(Model, total=given.total, vatRate=given.vat)


@attrs.define
class Attrs:
    total: float
    text: str | None = None


@register
@flow
def attrs_classes(given: Attrs) -> Attrs:
    return Attrs(total=given.total)


class Struct(msgspec.Struct, rename="camel"):
    total_price: float
    note: str | None = None


@register
@flow
def msgspec_structs(given: list[Struct]) -> Struct:
    return Struct(total_price=given[0].total_price)


@register
@flow
def nested_objects(given: Any) -> Any:
    return [Article(sku="a", price=given.price, parts=[Article(sku=given.sku, price=1.0)], vat_rate=0.5)]


@register
@flow
def mapping_of_values(given: Mapping[str, float]) -> Any:
    return {name: given[name] for name in ("a", "b")}


@register
@flow
def empty_list(given: Any) -> list[Any]:
    return []


@register
@flow
def empty_object(given: Any) -> Any:
    return {}


@register
@flow
def false_values(given: Any) -> Any:
    return when(given.is_known, [0, False, "", [], {}], coalesce(given.text, ""))


@register
@flow
def zero(given: Any) -> int:
    return 0
