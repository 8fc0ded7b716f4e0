"""`gateway help`: the manual, a page a topic."""

from importlib import resources
from typing import Annotated

import typer

from gateway.cli.output import legible_output


def pages() -> dict[str, str]:
    """Topic → its page in Markdown, which starts with `# ` and its title."""
    room = resources.files("gateway.manual")
    files = sorted([file for file in room.iterdir() if file.name.endswith(".md")], key=lambda file: file.name)
    return {file.name.removesuffix(".md"): file.read_text(encoding="utf-8") for file in files}


def help_command(topic: Annotated[str, typer.Argument(help="None lists them.")] = "") -> None:
    """Print a page of the manual, or the list of its topics."""
    legible_output()
    known = pages()
    if topic in known:
        typer.echo(known[topic], nl=False)
        return
    if topic:
        typer.echo(
            f"the manual has no page {topic!r}; a command's own options: gateway {topic} --help", err=True
        )
    width = max([len(name) for name in known])
    for name, page in known.items():
        typer.echo(f"{name:<{width}}  {page.splitlines()[0].removeprefix('# ')}", err=bool(topic))
    if topic:
        raise typer.Exit(2)
