"""Every numbered statement of MQTT 5.0 and 3.1.1 is named by a test, or by the head of its chapter with a reason."""

import ast
import re
from pathlib import Path

import pytest

# Section → its last number (MQTT 5.0 appendix B, MQTT 3.1.1 appendix B).
MQTT5 = {
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 6, "2.2.2": 1, "3.1.0": 2, "3.1.2": 30, "3.1.3": 12,
    "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1,
    "3.6.2": 3, "3.7.2": 3, "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2,
    "3.10.4": 6, "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1,
    "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5, "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6,
    "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1,
    "4.13.2": 1, "6.0.0": 4,
}  # fmt: skip
MQTT311 = {
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1, "3.2.2": 6,
    "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2,
    "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3, "4.1.0": 2, "4.3.1": 1, "4.3.2": 2,
    "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2, "6.0.0": 4,
}  # fmt: skip
ABSENT = {("mqtt5_spec", "2.2.1", 1)}
"""Numbers that the specifications have skipped."""

_NAME = re.compile(r"test_((?:(?:and|to|\d+)_)+)")


def numbers_in(text: str, section: str = "") -> set[tuple[str, int]]:
    """`3_10_4_6_and_3_11_3_1`, `3.1.2-16 to -19, 3.1.3-1, -3`: what they name."""
    found: set[tuple[str, int]] = set()
    last = 0
    for match in re.finditer(
        r"(to|and)?[\s_,]*(?:(\d+)[._](\d+)[._](\d+)[-_])?(?<!\d)-?(\d+)(?![.\d])", text
    ):
        word, first, second, third, number = match.groups()
        if first:
            section = f"{first}.{second}.{third}"
        if not section:
            continue
        if word == "to":
            found |= {(section, n) for n in range(last, int(number) + 1)}
        last = int(number)
        found.add((section, last))
    return found


def named_in(folder: str) -> set[tuple[str, int]]:
    """What the tests of a folder, and the heads of its chapters, name."""
    found: set[tuple[str, int]] = set()
    for path in (Path(__file__).parent / folder).glob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line in (ast.get_docstring(tree) or "").splitlines():
            listed = re.search(r"\d+\.\d+\.\d+-\d+[-\d., to]*", line)
            if listed:
                found |= numbers_in(listed[0])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = _NAME.match(node.name)
                if name:
                    found |= numbers_in(name[1].strip("_"))
    return found


@pytest.mark.parametrize(("folder", "sections"), [("mqtt5_spec", MQTT5), ("mqtt311_spec", MQTT311)])
def test_every_numbered_statement_is_tested_or_it_is_said_why_not(
    folder: str, sections: dict[str, int]
) -> None:
    named = named_in(folder)
    missing = [
        f"{section}-{number}"
        for section, last in sections.items()
        for number in range(1, last + 1)
        if (section, number) not in named and (folder, section, number) not in ABSENT
    ]
    assert missing == []
