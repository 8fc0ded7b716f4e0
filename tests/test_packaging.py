"""What a fresh machine installs."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_build_takes_the_versions_that_were_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = set((ROOT / "constraints.txt").read_text().split())
    assert set(project["build-system"]["requires"]) <= pinned


def test_a_source_archive_has_what_its_make_and_its_examples_need() -> None:
    manifest = (ROOT / "MANIFEST.in").read_text().split()
    assert {"conf", "Makefile", "constraints.txt"} <= set(manifest)
