"""Commands of others that the tests compare with."""

import os
import shutil
from collections.abc import Callable

import pytest

TIMEOUT_S = 30

Openssl = Callable[..., str]


def needs(command: str, package: str) -> str:
    """The path of a command; without it the test is skipped, in continuous integration it fails."""
    found = shutil.which(command)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{command} is not installed")
        pytest.skip(f"{command} is not installed (Debian: {package})")
    return found
