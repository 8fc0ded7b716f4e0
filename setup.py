"""Build script: the hot rooms go through mypyc where a C compiler is found, else the package is plain Python.

GATEWAY_COMPILE=1 forces it, GATEWAY_COMPILE=0 forbids it.  An editable install is the source tree itself: always plain.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

HOT_ROOMS = ("protocols", "gateway/core", "gateway/connectors")
BUILDING = {"bdist_wheel", "build", "build_ext", "install"}

RARE_ROOMS = ("protocols.http", "gateway.connectors.http")
"""A request costs more in its parser, which is a package's, than in all of these."""

_RARE = (
    "addresses agenda aside bound browsers browsing burying client connecting constants cron deaths errors footprint"
    " handshake last_values limits owners reconsidering recovery refusal resending searching selector_parser service"
    " sessions settings sources subscribing suspects systopics taking_up unused virtual watching welcome"
)
RARE = frozenset(_RARE.split())
"""Modules that are on the way of no message: what happens once a connection, subscription or start."""

QUICKLY = ["-Og", "-w"]
"""For what is rare: compiled in less than half the time."""


def compiled_modules() -> list[str]:
    """Every module of the hot rooms, as one unit: calls between them are then plain C calls."""
    return sorted(str(path) for room in HOT_ROOMS for path in Path(room).rglob("*.py"))


def is_rare(source: str) -> bool:
    """Is a C file of mypyc's that of a module which no message passes, or of what is done at the start?"""
    name = Path(source).stem.removeprefix("__native_")
    if name == Path(source).stem:
        return False
    module = name.replace("___", ".")
    return "." not in module or module.startswith(RARE_ROOMS) or module.rpartition(".")[2] in RARE


class ParallelBuild(build_ext):
    """Compiles C files side by side, one on each processor (setuptools knows only extensions), the longest first, and
    reads what they all include only once."""

    def build_extensions(self) -> None:
        """See build_ext."""
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        compile_in_turn = self.compiler.compile
        headers = Headers(compile_in_turn) if self.compiler.compiler_type == "unix" else None

        def compile_side_by_side(
            sources: Sequence[str], *, extra_postargs: Sequence[str], **how: Any
        ) -> list[str]:
            def compile_one(source: str) -> list[str]:
                flags = [*extra_postargs, *(QUICKLY if headers and is_rare(source) else ())]
                header = headers.of(source, flags, how) if headers else ""
                if header:
                    try:
                        return compile_in_turn([source], extra_postargs=["-include", header, *flags], **how)
                    except CompileError:
                        print(f"{source}: once more, without {header}", file=sys.stderr)
                return compile_in_turn([source], extra_postargs=flags, **how)

            longest_first = sorted(sources, key=lambda source: -Path(source).stat().st_size)
            with ThreadPoolExecutor(processors) as pool:
                return [file for files in pool.map(compile_one, longest_first) for file in files]

        self.compiler.compile = compile_side_by_side
        # A small extension a module, which leads to the large one: they are made beside it.
        self.parallel = processors
        super().build_extensions()


class Headers:
    """Precompiled headers: a third of the work on a short file is to read what it includes."""

    def __init__(self, compile_in_turn: Callable[..., list[str]]) -> None:
        self._compile = compile_in_turn
        self._made: dict[tuple[str, ...], str] = {}
        self._lock = Lock()

    def of(self, source: str, flags: list[str], how: dict[str, Any]) -> str:
        """The header that has what `source` includes first, read with the same flags; empty if there is none."""
        with Path(source).open(encoding="utf-8") as file:
            lines = tuple(takewhile(lambda line: line.startswith("#include") and ".h" in line, file))
        with self._lock:
            key = (*lines, *flags)
            if lines and key not in self._made:
                self._made[key] = self._make(lines, flags, how)
            return self._made.get(key, "")

    def _make(self, lines: tuple[str, ...], flags: list[str], how: dict[str, Any]) -> str:
        header = Path("build", "headers", f"{len(self._made)}.h")
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text("".join(lines), encoding="utf-8")
        text = header.with_suffix(".c")
        text.write_text("".join(lines), encoding="utf-8")
        how = {**how, "extra_preargs": ["-x", "c-header"], "output_dir": "build"}
        try:
            (made,) = self._compile([str(text)], extra_postargs=flags, **how)
            os.replace(made, f"{header}.gch")
        except (CompileError, OSError):
            return ""
        return str(header)


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
        if sys.platform == "linux":
            # No pages for each section's own sake, in two hundred small files.  Names stay: profilers want them.
            extension.extra_link_args = [*extension.extra_link_args, "-Wl,-z,noseparate-code"]

setup(ext_modules=extensions, cmdclass={"build_ext": ParallelBuild})
