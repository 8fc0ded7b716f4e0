"""`gateway run`: start, and stay until a signal."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import typer

import gateway
from gateway.app import Gateway, limits_by_option
from gateway.cli.settings import ConfigPath, default_path
from gateway.config import Config, ConfigError, load
from gateway.observe.log import set_up
from gateway.running import run as run_gateway

log = logging.getLogger("gateway")

FILES_MAX: Final = 1_048_576
"""Open files beyond which no more are asked for: each connection is one."""


def run(config: ConfigPath = None) -> None:
    """Start the gateway.  SIGTERM or SIGINT stops it gracefully (0), a second one at once (128 + its number).

    SIGHUP, or `gateway reload`, has users, rules, [pki] and TLS files read again.
    """
    settings = _load(config)
    as_json = settings.log.format == "json"
    set_up(settings.log.level, settings.log.format)
    raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            code = runner.run(
                run_gateway(
                    settings, _nothing if as_json else announce, read=lambda: load(default_path(config))
                )
            )
    except OSError as error:
        _complain(f"cannot start: {error.strerror or error}", as_json)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def _load(path: Path | None) -> Config:
    """The configuration; what is wrong with it goes where its log is to go."""
    try:
        return load(default_path(path))
    except ConfigError as error:
        as_json = error.log_format == "json"
        if as_json:
            set_up("info", "json")
        for problem in error.problems:
            _complain(problem, as_json)
        raise typer.Exit(1) from None


def _complain(line: str, as_json: bool) -> None:
    """To whoever has started it: in the log where that is for machines, which are to read nothing else."""
    if as_json:
        log.critical(line)
    else:
        typer.echo(line, err=True)


def _nothing(_: Gateway) -> None:
    """Machines read the log alone, which says it all."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed (there is none for Windows), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def raise_file_limit() -> None:
    """Take as many open files as the system allows without asking: the usual 1024 are fewer than connections."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # What there is must do; a system may allow less than it says.
            return


def announce(started: Gateway) -> None:
    """Say what listens where, with its limits; `ready` comes last."""
    # Nobody may be there to hear it any more, and a disk that takes the output may be full.
    with suppress(OSError):
        _announce(started)


def _announce(started: Gateway) -> None:
    form = "compiled" if gateway.is_compiled() else "plain Python"
    print(f"{started.config.gateway.name}: gateway-broker {gateway.__version__} ({form})")
    if not gateway.is_compiled():
        print("  plain Python is several times slower than compiled: gateway help install")
    width = max([len(listener.acceptor.name) for listener in started.listeners], default=5)
    for listener in started.listeners:
        acceptor = listener.acceptor
        options = [f"{name}={value}" for name, value in limits_by_option(acceptor.limits).items()]
        print(f"  {acceptor.name:<{width}}  {listener.scheme}://{listener.address}  {' '.join(options)}")
    if started.admin is not None:
        print(f"  {'admin':<{width}}  http://{started.admin.host}:{started.admin.port}/status")
    pki = started.keeping.server
    if pki is not None:
        print(f"  {'pki':<{width}}  http://{pki.host}:{pki.port}/")
    print("ready", flush=True)
