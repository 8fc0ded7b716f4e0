"""`gateway reload`: have a running gateway read its users, rules, [pki] and TLS files again."""

import json
from typing import Annotated

import typer

from gateway.cli.settings import ConfigPath, default_path
from gateway.cli.status import NoGateway, ask
from gateway.config import ConfigError, load


def reload(
    config: ConfigPath = None,
    url: Annotated[
        str, typer.Option(help="The gateway's [admin] uri; by default that of the configuration.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """Have the running gateway read users, rules, [pki] and TLS files again, as SIGHUP does: all of
    them, or nothing.  Other keys that have changed are named: for those a restart is needed.

    Who may not be connected any more, or reads what it may not read any more, is ended and told so.
    Exit code 0; 1 when no gateway answers; 2 when something is wrong and all stays as it was.
    """
    try:
        answer = ask(url or load(default_path(config)).admin.uri, "/reload", b"")
    except ConfigError as error:
        # The gateway would read the same, and say the same.
        answer = {"reloaded": False, "problems": error.problems}
    except NoGateway as error:
        if as_json:
            typer.echo(json.dumps({"reloaded": False, "problems": [str(error)]}, indent=2))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    done = answer.get("reloaded") is True
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif done:
        typer.echo(f"reloaded: {answer.get('done', '')}")
    else:
        typer.echo("not reloaded, all stays as it was:", err=True)
        for problem in answer.get("problems", [answer.get("error", "")]):
            typer.echo(problem, err=True)
    if not done:
        raise typer.Exit(2)
