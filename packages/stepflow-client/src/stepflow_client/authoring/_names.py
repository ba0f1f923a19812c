"""The names of fields and arguments in JSON."""

from .._data.field_names import Name as Name
