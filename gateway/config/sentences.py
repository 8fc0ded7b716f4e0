"""What is wrong with a value, said to whoever writes TOML: in its words, and with what would be right."""

import datetime
import re
from typing import Any, Final

from pydantic import BaseModel

SHOWN_MAX: Final = 200
"""Characters of a value that are shown."""

_BARE_KEY: Final = re.compile(r"[\w.*@/-]+")

_WANTED: Final = {
    "bool": "must be true or false",
    "string": "must be a text",
    "tuple": "must be a list",
    "list": "must be a list",
    "path": "must be a path",
    "model": "must be a table",
    "dict": "must be a table",
}
"""First word of pydantic's name for a mistake → what is said of it."""

_NUMBERS: Final = ("int", "finite", "greater", "less")
"""The same, where a number is wanted: all of the configuration's are whole."""


def sentence(item: Any, section: type[BaseModel] | None) -> str:
    """What a mistake that pydantic found comes to; `section` is the record that has the key."""
    kind = item["type"].split("_", 1)[0]
    location = item["loc"]
    if len(location) == 1 and kind in ("tuple", "model"):
        return (
            f"write {f'[[{location[0]}]]' if kind == 'tuple' else f'[{location[0]}]'}, and its keys below it"
        )
    if kind in _NUMBERS:
        return f"must be a whole number{_range(location[-1], section)}"
    if kind == "literal":
        return f"must be {item['ctx']['expected']}"
    if item["type"] == "string_pattern_mismatch":
        return "must be letters, digits, '.', '_' and '-', with a letter or a digit first"
    message: str = item["msg"].removeprefix("Value error, ")
    return _WANTED.get(kind, message) if item["type"].endswith(("_type", "_parsing")) else message


def _range(key: str | int, section: type[BaseModel] | None) -> str:
    """` from 1 to 10`, as far as there are limits."""
    field = None if section is None else section.model_fields.get(str(key))
    limits = [] if field is None else field.metadata
    least = [limit.ge for limit in limits if hasattr(limit, "ge")]
    most = [limit.le for limit in limits if hasattr(limit, "le")]
    if least and most:
        return f" from {least[0]} to {most[0]}"
    return f", {least[0]} or more" if least else f", {most[0]} or less" if most else ""


def key_text(key: str) -> str:
    """A key or a name as it stands in a line: quoted where it is not plain, and not endless."""
    plain = _BARE_KEY.fullmatch(key) is not None
    return value_text(key) if not plain or len(key) > SHOWN_MAX else key


def value_text(value: Any) -> str:
    """A value as TOML writes it; not endless, and without what stands before @ in a URI."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    text = repr(value)
    if "://" in text and "@" in text:
        text = f"{text.split('://', 1)[0]}://…@{text.rsplit('@', 1)[1]}"
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
