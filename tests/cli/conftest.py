"""Gateways in processes of their own, on ports that are free."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
[[connector]]
name = "mqtt"
uri = "mqtt://127.0.0.1:0?maximumConnections=5"
[[connector]]
name = "stomp"
uri = "stomp://127.0.0.1:0"
[store]
path = ""
[admin]
uri = "http://127.0.0.1:0"
"""


class Process:
    """`gateway run` with a configuration; `ports` by name once it is ready."""

    def __init__(self, path: Path, environment: dict[str, str], says_ready: bool = True) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        self.ports: dict[str, int] = {}
        self.lines: list[str] = []
        assert self.popen.stdout is not None
        if not says_ready:
            return
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.match(r"  (\S+) +\S+://127\.0\.0\.1:(\d+)", line):
                self.ports[found[1]] = int(found[2])
            if line == "ready\n":
                return
        raise AssertionError(self.popen.communicate()[1])

    def wait_for(self, word: str) -> list[str]:
        """The lines of its log until one has `word`; without one it has ended."""
        assert self.popen.stderr is not None
        lines: list[str] = []
        for line in self.popen.stderr:
            lines.append(line)
            if word in line:
                return lines
        raise AssertionError("".join(lines))

    @property
    def admin(self) -> str:
        """Where its status is."""
        return f"http://127.0.0.1:{self.ports['admin']}"

    def end(self) -> tuple[int, str]:
        """Exit code and log of a process that is ending."""
        _, log = self.popen.communicate(timeout=20)
        return self.popen.returncode, log


class Starter:
    """Starts gateways, and ends them with the test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[Process] = []

    def __call__(self, config: str = CONFIG, **environment: str) -> Process:
        self.path.write_text(config)
        process = Process(self.path, environment, environment.get("GATEWAY_LOG__FORMAT") != "json")
        self.started.append(process)
        return process


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path / "gateway.toml")
    yield starter
    for process in starter.started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


@pytest.fixture
def gateway_command(tmp_path: Path):
    """Run one command to its end: (exit code, stdout, stderr)."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | environment,
        )
        return done.returncode, done.stdout, done.stderr

    return run
