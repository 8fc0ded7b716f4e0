"""From a file and the environment to records, or to what is wrong with them."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from gateway.config.access import RuleSection, UserSection
from gateway.config.connector import DEFAULT_CONNECTORS, ConnectorSection
from gateway.config.section import nearest
from gateway.config.sentences import key_text, sentence, value_text
from gateway.config.tls import KeyPairSection, TlsSection
from gateway.config.whole import Config, variable_name

ENVIRONMENT_PREFIX: Final = "GATEWAY_"

FILE_BYTES_MAX: Final = 16_777_216
"""Of a configuration: some hundred thousand users."""

SECRETS: Final = ("hash", "key_password", "passphrase")
"""Keys whose value is never shown: it may be the password itself."""

LISTED: Final[dict[str, type[BaseModel]]] = {
    "connector": ConnectorSection,
    "user": UserSection,
    "rule": RuleSection,
}
"""Sections that are written with two brackets, once for each."""


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
            data = _parsed(path)
        except ValueError as error:
            raise ConfigError([f"{source}: {error}"], _log_format({}, environment)) from None
    variables: dict[str, str] = {}
    problems = _override(data, environment, variables)
    if nul := _nul_in(data, (), data):
        where = variables.get(nul, source)
        raise ConfigError([f"{where}: {nul}: there is U+0000 in its value"], _log_format(data, environment))
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_problem(source, data, variables, item) for item in error.errors()]
        raise ConfigError(problems, _log_format(data, environment)) from None
    if problems:
        raise ConfigError(problems, _log_format(data, environment))
    return config


def _parsed(path: Path) -> dict[str, Any]:
    """What the file says; raises ValueError, whose text says why it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ValueError(f"larger than {FILE_BYTES_MAX} bytes, which no configuration needs")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ValueError(error.strerror) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8: byte 0x{data[error.start]:02x} (at line {line})") from None
    except RecursionError:
        raise ValueError("lists and tables are nested too deeply") from None


def _nul_in(value: Any, location: tuple[str | int, ...], data: dict[str, Any]) -> str:
    """The key under which a text has U+0000, or none.  No file and no name can have it."""
    if isinstance(value, str):
        return _dotted(location, data) if "\0" in value else ""
    if isinstance(value, dict):
        items: Iterable[tuple[str | int, Any]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return ""
    return next(filter(None, [_nul_in(item, (*location, key), data) for key, item in items]), "")


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
    message = sentence(item, _section(location[:-1]))
    if not location:
        # About several tables: the message says which.
        return f"{source}: {message}"
    if location[-1] in SECRETS:
        return f"{variables.get(key, source)}: {key}: {message}"
    if isinstance(value, dict) and location[0] != "connector":
        return f"{source}: {key}: {message}"
    if isinstance(value, dict) and "tls" not in location:
        # What a connector's table as a whole can get wrong is its URI.
        key = f"{key}.uri"
        value = value.get("uri", "")
    if isinstance(value, list | tuple | dict):
        return f"{source}: {key}: {message}"
    return f"{variables.get(key, source)}: {key} = {value_text(value)}: {message}"


def _dotted(location: tuple[str | int, ...], data: dict[str, Any]) -> str:
    """`connector[mqtt].uri`, `queues.bytes_max`."""
    parts: list[str] = []
    for at, part in enumerate(location):
        if isinstance(part, int):
            items = data.get(str(location[at - 1]), [])
            item = items[part] if isinstance(items, list) and part < len(items) else None
            name = item.get("name") if isinstance(item, dict) else None
            parts[-1] += f"[{key_text(name) if name and isinstance(name, str) else part}]"
        else:
            parts.append(key_text(part))
    return ".".join(parts)


def _section(location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The record that a key belongs to."""
    if not location:
        return Config
    if "tls" in location:
        return KeyPairSection if "more" in location else TlsSection
    if location[0] in LISTED:
        return LISTED[str(location[0])]
    field = Config.model_fields.get(str(location[0]))
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
