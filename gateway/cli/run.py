"""`gateway run`: start, and stay until a signal."""

import asyncio
import sys

import typer

import gateway
from gateway.app import Gateway
from gateway.app import run as run_gateway
from gateway.cli.settings import ConfigPath, load_or_exit
from gateway.observe.log import set_up


def run(config: ConfigPath = None) -> None:
    """Start the gateway.  SIGTERM or SIGINT stops it gracefully, a second one at once."""
    settings = load_or_exit(config)
    set_up(settings.log.level, settings.log.format)
    try:
        if sys.platform == "win32":
            code = asyncio.run(run_gateway(settings, announce))
        else:
            import uvloop

            code = uvloop.run(run_gateway(settings, announce))
    except OSError as error:
        typer.echo(f"cannot start: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def announce(started: Gateway) -> None:
    """Say what listens where, with its limits."""
    form = "compiled" if gateway.is_compiled() else "plain Python"
    print(f"{started.config.gateway.name}: gateway-broker {gateway.__version__} ({form})")
    width = max((len(listener.acceptor.name) for listener in started.listeners), default=0)
    for listener in started.listeners:
        limits = listener.acceptor.limits
        print(
            f"  {listener.acceptor.name:<{width}}  "
            f"{listener.acceptor.protocol}://{listener.host}:{listener.port}  "
            f"maximumConnections={limits.maximum_connections}  "
            f"maxFrameSize={limits.max_frame_size}  "
            f"slowConsumer={limits.slow_consumer}"
        )
    if started.admin is not None:
        print(f"  {'admin':<{width}}  http://{started.admin.host}:{started.admin.port}/status")
    print("ready", flush=True)
