"""Reading openssl's configuration files, as far as an authority's folder is described by them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from gateway.pki import files
from gateway.pki.errors import PkiError

_SECTION: Final = re.compile(r"\[\s*([^\]\s]+)\s*\]")
_VARIABLE: Final = re.compile(
    r"\$(?:\{([\w.-]+(?:::[\w.-]+)?)\}|\(([\w.-]+(?:::[\w.-]+)?)\)|(\w+(?:::\w+)?))"
)

LINES_MAX: Final = 10_000


@final
class Conf:
    """Sections of `key = value`; `$key` and `${section::key}` are replaced as openssl does, when they are read."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.path = path
        self._environment = environment
        self.sections: dict[str, dict[str, str]] = {"default": {}}
        self._read(files.read_text(path))

    def get(self, section: str, key: str, default: str | None = None) -> str:
        """A value of a section, else of the section `default`, else `default`.  Raises PkiError without one."""
        found = self.sections.get(section, {}).get(key)
        if found is None:
            found = self.sections["default"].get(key)
        if found is None:
            found = default
        if found is None:
            raise PkiError(f"{self.path}: [{section}] has no {key}")
        return found

    def _read(self, text: str) -> None:
        section = "default"
        lines = text.replace("\\\n", "").splitlines()
        if len(lines) > LINES_MAX:
            raise PkiError(f"{self.path}: more than {LINES_MAX} lines")
        for number, line in enumerate(lines, 1):
            line = _without_comment(line).strip()
            if not line:
                continue
            if line.startswith(".include"):
                raise PkiError(f"{self.path}:{number}: .include is not followed")
            heading = _SECTION.fullmatch(line)
            if heading:
                section = heading[1]
                self.sections.setdefault(section, {})
                continue
            key, equals, value = line.partition("=")
            if not equals:
                raise PkiError(f"{self.path}:{number}: neither [section] nor key = value")
            self.sections[section][key.strip()] = self._expand(value.strip().strip('"'), section, number)

    def _expand(self, value: str, section: str, number: int) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match[1] or match[2] or match[3]
            where, colons, key = name.rpartition("::")
            if where == "ENV":
                found = self._environment.get(key)
            elif colons:
                found = self.sections.get(where, {}).get(key)
            else:
                found = self.sections[section].get(key, self.sections["default"].get(key))
            if found is None:
                raise PkiError(f"{self.path}:{number}: ${name} is not known")
            return found

        return _VARIABLE.sub(replace, value)


def _without_comment(line: str) -> str:
    quote = ""
    for at, char in enumerate(line):
        if char in "\"'":
            quote = "" if quote == char else quote or char
        elif char == "#" and not quote:
            return line[:at]
    return line
