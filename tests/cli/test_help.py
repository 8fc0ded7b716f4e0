"""`gateway help`: the manual is there, whole, and leads nowhere that is not."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.help import pages
from gateway.cli.main import app

ROOT = Path(__file__).parent.parent.parent
TOPICS = sorted(path.stem for path in (ROOT / "gateway/manual").glob("*.md"))
runner = CliRunner()


def test_without_a_topic_every_page_is_listed_with_its_title() -> None:
    result = runner.invoke(app, ["help"])
    assert result.exit_code == 0
    listed = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert list(listed) == TOPICS
    assert listed["users"].strip() == "Users and rules"


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_printed_as_its_page_stands(topic: str) -> None:
    result = runner.invoke(app, ["help", topic])
    assert result.exit_code == 0
    assert result.stdout == (ROOT / "gateway/manual" / f"{topic}.md").read_text(encoding="utf-8")
    assert result.stdout.startswith("# ")


def test_an_unknown_topic_is_an_error_and_says_what_there_is() -> None:
    result = runner.invoke(app, ["help", "run"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "gateway run --help" in result.stderr
    assert all(topic in result.stderr for topic in TOPICS)


def test_the_readme_links_every_page_and_no_other() -> None:
    linked = re.findall(r"\(gateway/manual/(\w+)\.md\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(linked)) == TOPICS


@pytest.mark.parametrize("page", [*TOPICS, "README"])
def test_pages_name_only_topics_that_there_are(page: str) -> None:
    text = pages().get(page) or (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"gateway help (\w+)", text)) <= {*TOPICS, "TOPIC"}
