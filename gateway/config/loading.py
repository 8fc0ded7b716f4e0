"""From a file and the environment to records, or to what is wrong with them."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from gateway.config.connector import DEFAULT_CONNECTORS, ConnectorSection
from gateway.config.section import nearest
from gateway.config.tls import KeyPairSection, TlsSection
from gateway.config.whole import Config, variable_name

ENVIRONMENT_PREFIX: Final = "GATEWAY_"


class ConfigError(Exception):
    """What is wrong with the configuration: one line for each mistake, naming file, key and value."""

    def __init__(self, problems: list[str], log_format: str = "text") -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.log_format = log_format
        """How it wants its log, as far as that can be told."""


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration in `path` (None: defaults only), overridden by the environment.  Raises ConfigError."""
    source = "defaults" if path is None else str(path)
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([f"{source}: {error.strerror}"], _log_format({}, environment)) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError([f"{source}: {error}"], _log_format({}, environment)) from None
    variables: dict[str, str] = {}
    problems = _override(data, environment, variables)
    if _has_nul(data):
        raise ConfigError([f"{source}: there is U+0000 in a value"], _log_format(data, environment))
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_problem(source, data, variables, item) for item in error.errors()]
        raise ConfigError(problems, _log_format(data, environment)) from None
    if problems:
        raise ConfigError(problems, _log_format(data, environment))
    return config


def _has_nul(value: Any) -> bool:
    """Is there U+0000 in a text?  No file and no name can have it."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(item) for item in value.values())
    return isinstance(value, list) and any(_has_nul(item) for item in value)


def _log_format(data: dict[str, Any], environment: Mapping[str, str]) -> str:
    """text or json, whatever else is wrong."""
    section = data.get("log")
    said = section.get("format") if isinstance(section, dict) else None
    return "json" if "json" in (said, environment.get(f"{ENVIRONMENT_PREFIX}LOG__FORMAT")) else "text"


def _override(data: dict[str, Any], environment: Mapping[str, str], variables: dict[str, str]) -> list[str]:
    """Put `GATEWAY_SECTION__KEY` into `data`, and into `variables` which key came from where; returns mistakes."""
    problems: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        table = _table(data, path[:-1])
        if isinstance(table, str):
            problems.append(f"{variable}: {table}")
            continue
        table[path[-1]] = _literal(environment[variable])
        dotted = f"connector[{table['name']}].{path[-1]}" if path[0] == "connector" else ".".join(path)
        variables[dotted] = variable
    return problems


def _table(data: dict[str, Any], path: list[str]) -> dict[str, Any] | str:
    """The table of `data` that a variable's path names, or why there is none."""
    if path[0] != "connector":
        if len(path) != 1:
            return f"write {ENVIRONMENT_PREFIX}SECTION__KEY"
        if path[0] not in Config.model_fields:
            return f"unknown section {path[0]!r}{nearest(path[0], list(Config.model_fields))}"
        table = data.setdefault(path[0], {})
        return table if isinstance(table, dict) else f"{path[0]} is not a section"
    if len(path) != 2:
        return f"write {ENVIRONMENT_PREFIX}CONNECTOR__NAME__KEY"
    connectors = data.setdefault("connector", [dict(fields) for fields in DEFAULT_CONNECTORS])
    if not isinstance(connectors, list):
        return "write [[connector]] in the file, with two brackets"
    named = [item for item in connectors if isinstance(item, dict) and "name" in item]
    for item in named:
        if variable_name(str(item["name"])) == path[1]:
            return item
    return f"there is no connector named {path[1]!r}{nearest(path[1], [str(item['name']) for item in named])}"


def _literal(text: str) -> Any:
    """A TOML value if it is one, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _problem(source: str, data: dict[str, Any], variables: Mapping[str, str], item: Any) -> str:
    """One mistake as a line: file or variable, key, value, and what would be right."""
    location: tuple[str | int, ...] = item["loc"]
    key = _dotted(location, data)
    value = item["input"]
    if item["type"] == "extra_forbidden":
        section = _section(location[:-1])
        known = list(section.model_fields) if section is not None else []
        return f"{variables.get(key, source)}: unknown key {key}{nearest(str(location[-1]), known)}"
    if item["type"] == "missing":
        return f"{source}: {key} is missing"
    message = item["msg"].removeprefix("Value error, ")
    if not location:
        # About several tables: the message says which.
        return f"{source}: {message}"
    if location[-1] in ("hash", "key_password"):
        # It may be the password itself.
        return f"{variables.get(key, source)}: {key}: {message}"
    if isinstance(value, dict) and location[0] != "connector":
        return f"{source}: {key}: {message}"
    if isinstance(value, dict) and "tls" not in location:
        # What a connector's table as a whole can get wrong is its URI.
        key = f"{key}.uri"
        value = value.get("uri", "")
    if isinstance(value, list | tuple | dict):
        return f"{source}: {key}: {message}"
    return f"{variables.get(key, source)}: {key} = {_shown(value)}: {message}"


def _shown(value: Any) -> str:
    """A value as it may be shown: not endless, and without what stands before @ in a URI."""
    text = repr(value)
    if "://" in text and "@" in text:
        text = f"{text.split('://', 1)[0]}://…@{text.rsplit('@', 1)[1]}"
    return text if len(text) <= 200 else text[:200] + "…"


def _dotted(location: tuple[str | int, ...], data: dict[str, Any]) -> str:
    """`connector[mqtt].uri`, `queues.bytes_max`."""
    parts: list[str] = []
    for at, part in enumerate(location):
        if isinstance(part, int):
            items = data.get(str(location[at - 1]), [])
            item = items[part] if isinstance(items, list) and part < len(items) else None
            parts[-1] += f"[{item.get('name', part) if isinstance(item, dict) else part}]"
        else:
            parts.append(part)
    return ".".join(parts)


def _section(location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The record that a key belongs to."""
    if not location:
        return Config
    if location[0] == "connector":
        if "tls" in location:
            return KeyPairSection if "more" in location else TlsSection
        return ConnectorSection
    field = Config.model_fields.get(str(location[0]))
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
