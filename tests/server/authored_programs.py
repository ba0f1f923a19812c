"""Random flows in Python: each value of one has its twin, which plain Python computes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from stepflow_client.authoring import (
    Flow,
    again,
    builtin,
    coalesce,
    done,
    each,
    exists,
    flow,
    item,
    iterate,
    literal,
    on_error,
    when,
)


@dataclass
class Twin:
    """A value of a flow, and the same value in Python."""

    value: Any
    plain: Any
    reads_step: bool = False
    """Whether it is known only after a step. A condition on one could make servers wait for the steps of a branch."""
    is_choice: bool = False
    """Whether it is one of several values, of which parts cannot be read."""


INPUT = {
    "flag": True, "off": False, "null": None, "zero": 0, "text": "täxt", "number": 2.5, "integer": 7,
    "list": [1, "two", None, {"three": [3]}], "object": {"a b": {"c": "d"}, "$e": 1}, "texts": ["x", "y", "z"],
}  # fmt: skip
VARIABLES = {"tone": "dry", "options": {"deep": [True, {"n": None}]}}


def is_plain(value: Any) -> bool:
    """Return whether a value is a list or a dict, and not a value of the flow."""
    return repr(value)[0] in "[{"


class Program:
    """A flow that is made of random parts."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.flow: Flow[Any, Any, ...] = flow(name=f"program {seed}")(self._flow)
        self.flow.to_dict()

    def _flow(self, given: Any, *, tone: str, options: Any) -> Any:
        self.twins = [Twin(given, INPUT), Twin(tone, VARIABLES["tone"]), Twin(options, VARIABLES["options"])]
        self.twins += [Twin(given[name], plain) for name, plain in INPUT.items()]
        for _ in range(self.random.randrange(3, 14)):
            self.twins.append(self.random.choice(OPERATIONS)(self))
        chosen = self.random.sample(self.twins, self.random.randrange(1, 5))
        self.expected = [each.plain for each in chosen]
        return [each.value for each in chosen]

    def any(self, *kinds: type, before_steps: bool = False) -> Twin:
        """Return a value that is there, of one of the types if there are some."""
        fitting = [
            each
            for each in self.twins
            if (not kinds or isinstance(each.plain, kinds)) and not (before_steps and each.reads_step)
        ]
        return self.random.choice(fitting)

    def part(self) -> Twin:
        whole = self.random.choice(
            [each for each in self.twins if isinstance(each.plain, (dict, list)) and not each.is_choice]
        )
        keys = list(whole.plain) if isinstance(whole.plain, dict) else list(range(len(whole.plain)))
        if not keys:
            return whole
        key = self.random.choice(keys)
        value = whole.value[key] if is_plain(whole.value) else item(whole.value, key)
        return Twin(value, whole.plain[key], whole.reads_step)

    def collection(self) -> Twin:
        parts = [self.any() for _ in range(self.random.randrange(4))]
        reads = any(each.reads_step for each in parts)
        if self.random.random() < 0.5:
            return Twin([each.value for each in parts], [each.plain for each in parts], reads)
        named = {f"k{number}": each for number, each in enumerate(parts)}
        values = {name: each.value for name, each in named.items()}
        return Twin(values, {name: each.plain for name, each in named.items()}, reads)

    def data(self) -> Twin:
        plain = self.random.choice(
            [{"$step": "none"}, {"$literal": {"$input": "$"}}, [None, {"a": 1}], "{{ x }}", 3.25]
        )
        return Twin(literal(plain), plain)

    def through_a_blob(self) -> Twin:
        content = self.any()
        blob = builtin.put_blob(data={"x": content.value}, blob_type="data")
        found = builtin.get_blob(blob_id=blob.blob_id)
        return Twin(found.data.x, content.plain, True)

    def through_a_message(self) -> Twin:
        text = self.any(str)
        return Twin(builtin.create_messages(user_prompt=text.value).messages[0].content, text.plain, True)

    def failing(self) -> Twin:
        plain = self.random.choice([None, 5, {"data": [1]}, "x"])
        found: Any = builtin.get_blob(blob_id="none", on_error=on_error.use_default(plain))  # type: ignore[arg-type]
        # Its type is that of the component, and the default has another one.
        return Twin(found, plain, True, True)

    def choice(self) -> Twin:
        condition, then, other = self.any(before_steps=True), self.any(), self.any()
        is_true = condition.plain is not None and condition.plain is not False
        # A list or a dict of values is there.
        known = True if is_plain(condition.value) else exists(condition.value)
        value = when(known, then.value, other.value)
        return Twin(value, then.plain if is_true else other.plain, then.reads_step or other.reads_step, True)

    def first(self) -> Twin:
        parts = [self.any(before_steps=True), self.any(before_steps=True), self.any()]
        plain = next((each.plain for each in parts if each.plain is not None), None)
        return Twin(coalesce(*(each.value for each in parts)), plain, parts[-1].reads_step, True)

    def for_each(self) -> Twin:
        items, outer = self.any(list), self.any()
        step = self.random.random() < 0.5

        def body(element: Any) -> Any:
            if not step:
                return {"e": element, "o": outer.value, "k": 1}
            kept = builtin.put_blob(data=[element], blob_type="data")
            return {"e": element, "o": outer.value, "k": builtin.get_blob(blob_id=kept.blob_id).data[0]}

        made = each(items.value, body)
        plain = [{"e": one, "o": outer.plain, "k": one if step else 1} for one in items.plain]
        if not plain:
            return Twin(made.successful, 0, True)
        number = self.random.randrange(len(plain))
        return Twin(made.results[number].result, plain[number], True)

    def turns(self) -> Twin:
        outer = self.any()
        chain: Any = {"end": [1]}
        for _ in range(self.random.randrange(4)):
            chain = {"next": chain}
        last = iterate(chain, lambda one: when(exists(one.next), again(one.next), done([one.end, outer.value])))
        return Twin(last.result, [[1], outer.plain], True)


OPERATIONS = [
    Program.part, Program.part, Program.collection, Program.data, Program.through_a_blob, Program.through_a_message,
    Program.failing, Program.choice, Program.choice, Program.first, Program.for_each, Program.turns,
]  # fmt: skip
