"""`gateway status`: ask a running gateway how it is."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.settings import ConfigPath, load_or_exit
from gateway.config import is_loopback

TIMEOUT_S: Final = 5.0
PIPE_WIDTH: Final = 120
"""Columns where no terminal says how many there are."""


def status(
    config: ConfigPath = None,
    url: Annotated[
        str, typer.Option(help="The gateway's [admin] uri; by default that of the configuration.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer, as JSON.")] = False,
) -> None:
    """Is it up, which connectors and limits has it, how many connections, how fast is it?

    Exit code 0, or 1 when no gateway answers.
    """
    address = url or load_or_exit(config).admin.uri
    try:
        answer = fetch(address)
    except NoGateway as error:
        if as_json:
            typer.echo(json.dumps({"status": "down", "reason": str(error)}, indent=2))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        show(answer)


class NoGateway(Exception):
    """Nobody answers, or somebody else."""


def fetch(address: str) -> dict[str, Any]:
    """The answer of the gateway at `address`; raises NoGateway when there is none."""
    answer = ask(address, "/status")
    if not answer.keys() >= {"name", "version", "connectors", "core"}:
        raise NoGateway(f"{address} is no gateway")
    return answer


def ask(address: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    """What the gateway at `address` answers to a GET, or to a POST of `body`; raises NoGateway when there is none."""
    try:
        parts = urlsplit(address)
        here = parts.scheme == "http" and is_loopback(parts.hostname or "")
    except ValueError:
        here = False
    if not here:
        raise NoGateway(f"{address}: must be http:// on a loopback address")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{address.rstrip('/')}{path}", data=body, timeout=TIMEOUT_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            # It says why.
            with error:
                answer = json.load(error)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, RecursionError) as error:
        cause = getattr(error, "reason", None) or error
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
        raise NoGateway(f"no gateway answers at {address}: {reason}") from None
    if not isinstance(answer, dict):
        raise NoGateway(f"{address} is no gateway")
    return answer


def show(answer: dict[str, Any]) -> None:
    """The answer as tables."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    form = "compiled" if answer["compiled"] else "plain Python"
    console.print(
        f"{answer['name']} is {answer['status']}: gateway-broker {answer['version']} ({form}), "
        f"up {answer['uptime_s']:.0f} s, {answer['messages_in_per_s']} messages/s in, "
        f"{answer['messages_out_per_s']} out"
    )
    if "reason" in answer:
        console.print(f"{answer['status']}: {answer['reason']}")
    table = Table("connector", "address", box=None, pad_edge=False)
    for heading in ("connections", "max frame", "in", "out", "refused", "errors", "dropped"):
        table.add_column(heading, justify="right")
    for connector in answer["connectors"]:
        limits = connector["limits"]
        table.add_row(
            connector["name"],
            f"{connector['protocol']}://{connector['address']}",
            f"{connector['connections']} of {limits['maximumConnections']}",
            str(limits["wireFormat.maxFrameSize"]),
            str(connector["messages_in"]),
            str(connector["messages_out"]),
            str(connector["refused"]),
            str(connector["protocol_errors"]),
            str(connector["dropped_slow"]),
        )
    console.print(table)
    for connector in answer["connectors"]:
        for warning in connector.get("tls", {}).get("warnings", ()):
            console.print(f"{connector['name']}: {warning}")
    core = answer["core"]
    console.print(
        f"{core['queues']} queues, {core['subscriptions']} subscriptions, {core['retained']} retained; "
        f"{core['dead_lettered']} dead-lettered, {core['expired']} expired, {core['dropped_full']} dropped when full"
    )
    if core.get("unstored_wanting"):
        console.print(
            f"{core['unstored_wanting']} messages that the store does not keep found no memory; "
            f"those that wait take {core['unstored_bytes']} bytes of it"
        )
