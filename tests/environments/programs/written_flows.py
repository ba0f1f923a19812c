"""Reads values with the types of a module written by `stepflow codegen`, and prints how many survived."""

import json
import sys
from pathlib import Path

from pydantic import VERSION, TypeAdapter
from stepflow_client._data.values import check_json

sys.path.insert(0, str(Path.cwd()))

import flows  # type: ignore[import-not-found]

count = 0
for name, values in json.loads(Path("values.json").read_text()).items():
    kind = TypeAdapter(getattr(flows, name))
    for value in values:
        model = kind.validate_python(value)
        assert kind.validate_json(json.dumps(check_json(model, name))) == model, (name, value)
        count += 1
print(VERSION, count)
