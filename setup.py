"""Build script: the hot rooms go through mypyc when GATEWAY_COMPILE=1, else the package is plain Python."""

import os
from pathlib import Path

from setuptools import setup

HOT_ROOMS = ("protocols", "gateway/core", "gateway/connectors")


def compiled_modules() -> list[str]:
    """Every module of the hot rooms, as one unit: calls between them are then plain C calls."""
    return sorted(str(path) for room in HOT_ROOMS for path in Path(room).rglob("*.py"))


extensions = []
if os.environ.get("GATEWAY_COMPILE") == "1":
    from mypyc.build import mypycify

    extensions = mypycify(compiled_modules(), opt_level="3")

setup(ext_modules=extensions)
