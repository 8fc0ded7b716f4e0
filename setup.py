"""Build script: the hot rooms go through mypyc where a C compiler is found, else the package is plain Python.

GATEWAY_COMPILE=1 forces it, GATEWAY_COMPILE=0 forbids it.  An editable install is the source tree itself: always plain.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

HOT_ROOMS = ("protocols", "gateway/core", "gateway/connectors")
BUILDING = {"bdist_wheel", "build", "build_ext", "install"}


def compiled_modules() -> list[str]:
    """Every module of the hot rooms, as one unit: calls between them are then plain C calls."""
    return sorted(str(path) for room in HOT_ROOMS for path in Path(room).rglob("*.py"))


class ParallelBuild(build_ext):
    """Compiles the C files of an extension side by side, one on each processor; setuptools knows only extensions."""

    def build_extensions(self) -> None:
        """See build_ext."""
        compile_in_turn = self.compiler.compile

        def compile_side_by_side(sources: Sequence[str], *args: Any, **kwargs: Any) -> list[str]:
            def compile_one(source: str) -> list[str]:
                return compile_in_turn([source], *args, **kwargs)

            with ThreadPoolExecutor(
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            ) as pool:
                return [file for files in pool.map(compile_one, sources) for file in files]

        self.compiler.compile = compile_side_by_side
        super().build_extensions()


def compiler_found() -> bool:
    """Is there a C compiler, and are Python's headers there?  If not, say loudly what that means."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    missing = compiler if not shutil.which(compiler) else "" if header.exists() else header
    if missing:
        line = f"{missing} not found: the gateway will run as plain Python, several times slower"
        print("*" * len(line), line, "*" * len(line), sep="\n", file=sys.stderr)
    return not missing


# Requirements, metadata and source archives are asked for with other commands, and need no minutes of compiling.
extensions = []
wanted = os.environ.get("GATEWAY_COMPILE", "")
if BUILDING & set(sys.argv) and (wanted == "1" or (wanted != "0" and compiler_found())):
    from mypyc.build import mypycify

    # A C file for each module: together they are compiled in half the time of one, and on all processors.
    extensions = mypycify(compiled_modules(), opt_level="3", debug_level="0", multi_file=True)
    for extension in extensions:
        # Nobody else calls into it: functions call each other directly, and literals are found without a table.
        extension.extra_compile_args = [*extension.extra_compile_args, "-fvisibility=hidden"]

setup(ext_modules=extensions, cmdclass={"build_ext": ParallelBuild})
