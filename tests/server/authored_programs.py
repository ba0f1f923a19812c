"""Random flows written in Python, with the output that plain Python computes for them."""

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
class Pair:
    """A value in a flow, and its expected value."""

    value: Any
    expected: Any
    reads_step: bool = False
    """Whether it depends on a step. A condition on such a value could make servers wait for the steps of a branch."""
    is_choice: bool = False
    """Whether it is one of several values, so that its parts cannot be read."""


INPUT = {
    "flag": True, "off": False, "null": None, "zero": 0, "text": "täxt", "number": 2.5, "integer": 7,
    "list": [1, "two", None, {"three": [3]}], "object": {"a b": {"c": "d"}, "$e": 1}, "texts": ["x", "y", "z"],
}  # fmt: skip
VARIABLES = {"tone": "dry", "options": {"deep": [True, {"n": None}]}}


def is_literal(value: Any) -> bool:
    """Return whether a value is a literal list or dict rather than an expression."""
    return repr(value)[0] in "[{"


class Program:
    """A flow with random parts."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.flow: Flow[Any, Any, ...] = flow(name=f"program {seed}")(self._flow)
        self.flow.to_dict()

    def _flow(self, flow_input: Any, *, tone: str, options: Any) -> Any:
        self.pairs = [Pair(flow_input, INPUT), Pair(tone, VARIABLES["tone"]), Pair(options, VARIABLES["options"])]
        self.pairs += [Pair(flow_input[name], expected) for name, expected in INPUT.items()]
        for _ in range(self.random.randrange(3, 14)):
            self.pairs.append(self.random.choice(OPERATIONS)(self))
        chosen = self.random.sample(self.pairs, self.random.randrange(1, 5))
        self.expected = [each.expected for each in chosen]
        return [each.value for each in chosen]

    def any(self, *kinds: type, before_steps: bool = False) -> Pair:
        """Choose one of the values so far, optionally of one of these types or independent of steps."""
        candidates = [
            each
            for each in self.pairs
            if (not kinds or isinstance(each.expected, kinds)) and not (before_steps and each.reads_step)
        ]
        return self.random.choice(candidates)

    def part(self) -> Pair:
        whole = self.random.choice(
            [each for each in self.pairs if isinstance(each.expected, (dict, list)) and not each.is_choice]
        )
        keys = list(whole.expected) if isinstance(whole.expected, dict) else list(range(len(whole.expected)))
        if not keys:
            return whole
        key = self.random.choice(keys)
        value = whole.value[key] if is_literal(whole.value) else item(whole.value, key)
        return Pair(value, whole.expected[key], whole.reads_step)

    def collection(self) -> Pair:
        parts = [self.any() for _ in range(self.random.randrange(4))]
        reads = any(each.reads_step for each in parts)
        if self.random.random() < 0.5:
            return Pair([each.value for each in parts], [each.expected for each in parts], reads)
        named = {f"k{number}": each for number, each in enumerate(parts)}
        values = {name: each.value for name, each in named.items()}
        return Pair(values, {name: each.expected for name, each in named.items()}, reads)

    def data(self) -> Pair:
        expected = self.random.choice(
            [{"$step": "none"}, {"$literal": {"$input": "$"}}, [None, {"a": 1}], "{{ x }}", 3.25]
        )
        return Pair(literal(expected), expected)

    def through_a_blob(self) -> Pair:
        content = self.any()
        blob = builtin.put_blob(data={"x": content.value}, blob_type="data")
        blob_content = builtin.get_blob(blob_id=blob.blob_id)
        return Pair(blob_content.data.x, content.expected, True)

    def through_a_message(self) -> Pair:
        text = self.any(str)
        return Pair(builtin.create_messages(user_prompt=text.value).messages[0].content, text.expected, True)

    def failing(self) -> Pair:
        expected = self.random.choice([None, 5, {"data": [1]}, "x"])
        blob_content: Any = builtin.get_blob(blob_id="none", on_error=on_error.use_default(expected))  # type: ignore[arg-type]
        # The default's type differs from the component's declared output type.
        return Pair(blob_content, expected, True, True)

    def choice(self) -> Pair:
        condition, then, other = self.any(before_steps=True), self.any(), self.any()
        is_true = condition.expected is not None and condition.expected is not False
        # A literal list or dict always exists.
        condition_value = True if is_literal(condition.value) else exists(condition.value)
        value = when(condition_value, then.value, other.value)
        return Pair(value, then.expected if is_true else other.expected, then.reads_step or other.reads_step, True)

    def first(self) -> Pair:
        parts = [self.any(before_steps=True), self.any(before_steps=True), self.any()]
        expected = next((each.expected for each in parts if each.expected is not None), None)
        return Pair(coalesce(*(each.value for each in parts)), expected, parts[-1].reads_step, True)

    def for_each(self) -> Pair:
        items, outer = self.any(list), self.any()
        step = self.random.random() < 0.5

        def body(element: Any) -> Any:
            if not step:
                return {"e": element, "o": outer.value, "k": 1}
            blob = builtin.put_blob(data=[element], blob_type="data")
            return {"e": element, "o": outer.value, "k": builtin.get_blob(blob_id=blob.blob_id).data[0]}

        mapped = each(items.value, body)
        expected = [{"e": one, "o": outer.expected, "k": one if step else 1} for one in items.expected]
        if not expected:
            return Pair(mapped.successful, 0, True)
        number = self.random.randrange(len(expected))
        return Pair(mapped.results[number].result, expected[number], True)

    def turns(self) -> Pair:
        outer = self.any()
        chain: Any = {"end": [1]}
        for _ in range(self.random.randrange(4)):
            chain = {"next": chain}
        last = iterate(chain, lambda one: when(exists(one.next), again(one.next), done([one.end, outer.value])))
        return Pair(last.result, [[1], outer.expected], True)


OPERATIONS = [
    Program.part, Program.part, Program.collection, Program.data, Program.through_a_blob, Program.through_a_message,
    Program.failing, Program.choice, Program.choice, Program.first, Program.for_each, Program.turns,
]  # fmt: skip
