"""The schema that is served, as the tests use it."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import gateway.web

SCHEMA = json.loads((Path(gateway.web.__file__).parent / "gateway.schema.json").read_text())


def validator(name: str) -> Draft202012Validator:
    """The validator of one of the schema's definitions."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


FROM_CLIENT = validator("fromClient")
FROM_SERVER = validator("fromServer")
OPERATION = validator("operation")


def from_server(data: bytes) -> dict[str, Any]:
    """A message of the server, which must be as the schema says."""
    value = json.loads(data)
    FROM_SERVER.validate(value)
    assert isinstance(value, dict)
    return value
