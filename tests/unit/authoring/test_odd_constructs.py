"""Unusual Python in a flow function builds a flow with the same result as Python, or raises at the offending line."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from pydantic_core import to_jsonable_python
from stepflow_client import AuthoringError
from stepflow_client.testing import fake_server

HEAD = """\
from __future__ import annotations
import contextlib, copy, dataclasses, enum, functools, itertools, json, math, operator, re
from dataclasses import dataclass, field
from typing import Any

@dataclass
class Line:
    name: str

@dataclass
class Price:
    eur: float
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    flag: bool = True

@dataclass
class Given:
    sku: str
    coupon: str | None = None
    any: Any = None

@dataclass
class Checked:
    total: float
    note: str | None = None

    def __post_init__(self):
        if self.note is None:  #checked
            self.note = "none"

class Kept:
    def __init__(self, note):
        self.note = note

    def text(self):
        return "none" if self.note is None else self.note  #kept

class Color(enum.Enum):
    RED = "red"

def label(note):
    return "none" if note is None else note  #label

def default_of(note=None):
    if note is not None:  #default_of
        return note
    return "none"

def either(*notes):
    return [each for each in notes if each is not None]  #either

def first_of(notes):
    for each in notes:
        if each is None:  #first_of
            return "none"
    return notes[0]

def pick(found):
    match found:  #pick
        case None:
            return "none"
        case other:
            return other

def pair(found):
    match found:  #pair
        case [one, *_]:
            return one
        case _:
            return "none"

def keyed(found):
    match found:  #keyed
        case {"name": name}:
            return name
        case _:
            return "none"

def is_yes(flag):
    return "yes" if flag is True else "no"  #is_yes

def kind_of(found):
    return "text" if type(found) is str else "other"  #kind_of

def has_note(found):
    return found.note if hasattr(found, "note") else "none"  #has_note

def note_of(found):
    return getattr(found, "nope", "none")  #note_of

def can_call(found):
    return "yes" if callable(found) else "no"  #can_call

def found(sku):
    return price_of(sku=sku)

def same(note):
    return note

def grown(into=[]):
    into.append("a")
    return list(into)

def yielding(notes):
    for each in notes:
        yield "none" if each is None else each  #yielding

@functools.cache
def cached(note):
    return note

"""

ACCEPTED = [
    # Empty and false results.
    "x = []",
    "x = {}",
    "x = ''",
    "x = 0",
    "x = False",
    "x = [[], {}, '', 0, False, None]",
    "x = {'a': [], 'b': {}}",
    # Python on values known at build time.
    "x = [each.upper() for each in ('a', 'b')]",
    "x = {key: price.eur for key in ('a', 'b')}",
    "x = [price.tags[number] for number in range(2)]",
    "x = 'short' if len('abc') < 5 else price.eur",
    "x = [price.eur] * 2",
    "x = list(map(same, [price.eur, price.note]))",
    "x = [*[price.eur], *(1, 2)]",
    "x = {**{'a': price.eur}, 'b': 1}",
    "(x := price.eur)",
    "first, (second, *rest) = price.eur, (price.note, 1, 2)\n    x = [first, second, rest]",
    "x = dict(zip(('a', 'b'), (price.eur, price.note)))",
    "x = functools.partial(same, note=price.eur)()",
    "x = (lambda a, b=price.eur: [a, b])(1)",
    "x = []\n    for number in (1, 2):\n        x.append(lambda: number)\n    x = [each() for each in x]",
    "x = ['a']\n    same(x)\n    x.append('b')",
    "grown()\n    x = grown()",
    "x = (price.eur, price.tags)",
    "x = [each for each in [1, None] if each is not None]",
    "x = label('known')",
    "x = default_of()",
    "x = default_of(given.sku)",
    "x = label(price.eur)",
    "x = getattr(price, 'eur')",
    "x = operator.attrgetter('lines')(price)[0].name",
    "x = copy.deepcopy([price.eur])",
    "x = dataclasses.replace(Line('a'), name=price.note)",
    "x = Checked(price.eur, 'known').total",
    "x = next(iter([price.eur]))",
    "x = price.eur if price.tags is not price else 0",
    "x = None\n    with contextlib.suppress(KeyError):\n        x = {}['a']\n    x = x or 'none'",
    "x = safe = None\n    try:\n        x = {'a': price.eur}['b']\n    except KeyError:\n        x = 'none'",
    "x = [Color.RED, price.eur]",
    "x = list(itertools.chain([price.eur], [1]))",
]  # fmt: skip

REFUSED = [
    ("x = label(price.note)", "note is a value of a flow and is never None", "label"),
    ("x = label(given.any)", "note is a value of a flow and is never None", "label"),
    ("x = default_of(note=given.coupon)", "note is a value of a flow and is never None", "default_of"),
    ("x = either(price.note, None)", "each is a value of a flow and is never None", "either"),
    ("x = first_of([price.note, 'a'])", "each is a value of a flow and is never None", "first_of"),
    ("x = list(yielding([price.note, 'a']))", "each is a value of a flow and is never None", "yielding"),
    ("x = Kept(price.note).text()", "self.note is a value of a flow and is never None", "kept"),
    ("x = Checked(price.eur, price.note)", "self.note is a value of a flow and is never None", "checked"),
    ("x = pick(price.note)", "found is a value of a flow and is never None", "pick"),
    ("x = pair(price.tags)", "has no content while the flow is being built: match cannot inspect it", "pair"),
    ("x = keyed(price.lines[0])", "has no content while the flow is being built: match cannot inspect it", "keyed"),
    ("x = is_yes(price.flag)", "flag is a value of a flow and is never True", "is_yes"),
    ("x = kind_of(price.note)", "has no content while the flow is being built: type() cannot inspect it", "kind_of"),
    ("x = has_note(given.any)", "no content while the flow is being built: hasattr() cannot inspect it", "has_note"),
    ("x = note_of(price)", "Price has no field 'nope'", "note_of"),
    ("x = can_call(given.any)", "no content while the flow is being built: callable() cannot inspect it", "can_call"),
    ("x = 'none' if price.note is None else 1  #here", "price.note is a value of a flow and is never None", "here"),
    ("note = given.coupon\n    x = 1 if None is note else 2  #here", "note is a value of a flow", "here"),
    ("x = 1 if found('a').note is None else 2  #here", "found('a').note is a value of a flow and is never", "here"),
    ("x = 1 if (p := price.note) is None else 2  #here", "p is a value of a flow and is never None", "here"),
    ("d = {'a': price.note}\n    x = 1 if d.get('a') is None else 2  #here", "d.get('a') is a value of a flow", "here"),
    ("d = {'a': price.note}\n    x = [k for k, v in d.items() if v is None]  #here", "v is a value of a flow", "here"),
    ("x = (lambda: 1 if price.note is None else 2)()  #here", "price.note is a value of a flow", "here"),
    ("try:\n        x = price.eur + 1  #here\n    except Exception:\n        x = 0", "used in a calculation", "here"),
    ("try:\n        x = price.note.upper()  #here\n    except AttributeError:\n        x = ''", "has no field", "here"),
    ("try:\n        x = f'{price.eur}'  #here\n    except:\n        x = ''", "has no text yet", "here"),
    ("x = 0\n    with contextlib.suppress(TypeError):\n        x = len(price.tags)  #here", "no length yet", "here"),
    ("x = Color(price.note)  #here", "cannot be compared yet", "here"),
    ("x = dataclasses.replace(price, eur=3)  #here", "should be called on dataclass instances", "here"),
    ("x = {f'{price.eur!r}': 1}  #here", "was made from a value of the flow", "return"),
    ("x = literal({'a': repr(price)})  #here", "this contains a value of the flow", "here"),
    ("x = cached(price.note)  #here", "key of a dict", "here"),
    ("x = [each for each in price.tags if each]  #here", "has no elements yet", "here"),
    ("x = any(each == 'a' for each in [price.note])  #here", "cannot be compared yet", "here"),
    ("x = sum([price.eur, 1])  #here", "cannot be used in a calculation", "here"),
    ("x = min(price.eur, 3)  #here", "cannot be compared yet", "here"),
    ("x = math.floor(price.eur)  #here", "is not a number yet", "here"),
    ("x = re.match('a', 'a') and price.note and 1  #here", "has no truth value yet", "here"),
    ("x = 'a' in price.note  #here", "has no elements yet", "here"),
    ("x = price.note in {'a': 1}  #here", "key of a dict", "here"),
    ("x = 'abc'[: price.eur]  #here", "is not a number yet", "here"),
    ("x = (each for each in [price.eur])", "generator cannot be represented in JSON", "return"),
    ("x = {price.eur for _ in (1,)}  #here", "key of a dict", "here"),
    ("x = {1, 2}", "set cannot be represented in JSON", "return"),
    ("x = lambda: price.eur", "function cannot be represented in JSON", "return"),
    ("x = b'bytes' + price.note  #here", "cannot be used in a calculation", "here"),
    ("del price.tags[0]  #here\n    x = 1", "cannot be changed", "here"),
    ("price.tags.append('a')  #here\n    x = 1", "list[str] has no fields", "here"),
    ("x = json.dumps({'a': price.eur})  #here", "has no class yet", "here"),
    ("raise ValueError(price.eur)  #here", "has no text yet", "here"),
    ("assert price.flag  #here\n    x = 1", "has no truth value yet", "here"),
]  # fmt: skip

# Since Python 3.13, asdict() looks at the type of a value instead of its __class__, which flow values hide.
_ASDICT = "x = dataclasses.asdict(Line(price.note))"
if sys.version_info >= (3, 13):
    ACCEPTED.append(_ASDICT)
else:
    REFUSED.append((f"{_ASDICT}  #here", "has no class yet", "here"))

PRICE = {"eur": 3.5, "note": None, "tags": ["a", "b"], "lines": [{"name": "n"}], "flag": True}
GIVEN = {"sku": "tea", "coupon": None, "any": None}


FLOWS = """\
from stepflow_client.authoring import component, flow, literal

@component("/shop/price")
def price_of(*, sku: str) -> Price:
    raise NotImplementedError
"""
PLAIN_PYTHON = f"""\
flow = lambda function: function

def price_of(*, sku):
    return Price(**{PRICE} | {{"lines": [Line("n")]}})
"""


def test_snippets_are_many_and_distinct() -> None:
    assert len(ACCEPTED) + len(REFUSED) >= 66
    assert len({*ACCEPTED, *(code for code, *_ in REFUSED)}) == len(ACCEPTED) + len(REFUSED)


@pytest.fixture
def load_odd(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ModuleType, list[str]]]:
    """Return a loader for a module with a flow (or the same function in plain Python) and its source lines."""

    def load(code: str, *, is_plain: bool = False) -> tuple[ModuleType, list[str]]:
        body = f"    price = price_of(sku=given.sku)\n    {code}\n    return x  #return\n"
        source = f"{HEAD}{PLAIN_PYTHON if is_plain else FLOWS}\n@flow\ndef written(given: Given):\n{body}"
        name = f"<odd {len(linecache.cache)}>"
        lines = source.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, name, (len(source), None, lines, name))
        module = ModuleType(f"odd_constructs_{is_plain}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(source, name, "exec"), module.__dict__)
        return module, lines

    return load


LoadOdd = Callable[..., tuple[ModuleType, list[str]]]


@pytest.mark.parametrize("code", ACCEPTED)
def test_flow_returns_the_same_as_python(load_odd: LoadOdd, code: str) -> None:
    module, _ = load_odd(code, is_plain=True)
    expected = to_jsonable_python(module.written(module.Given(**GIVEN)))
    with fake_server({"/shop/price": PRICE}).sync_client() as client:
        assert client.run(load_odd(code)[0].written, GIVEN).unwrap() == expected


@pytest.mark.parametrize(("code", "message", "place"), REFUSED)
def test_error_points_to_the_line(load_odd: LoadOdd, code: str, message: str, place: str) -> None:
    module, lines = load_odd(code)
    with pytest.raises(AuthoringError) as caught:
        module.written.to_dict()
    assert message in str(caught.value)
    assert caught.value.line is not None
    assert lines[caught.value.line - 1].rstrip().endswith(f"#{place}")


def test_the_profile_function_is_removed_after_the_build(load_odd: LoadOdd) -> None:
    for code in ("x = []", "x = label(price.note)", "raise ValueError"):
        with contextlib.suppress(AuthoringError):
            load_odd(code)[0].written.to_dict()
        assert sys.getprofile() is None
