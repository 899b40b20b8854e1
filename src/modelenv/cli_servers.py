"""The part of the command line for servers: the embedded Hub, and model hosts that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

hub_app = typer.Typer(help="An embedded Hub on loopback.", no_args_is_help=True)
host_app = typer.Typer(help="Model hosts that are kept between test runs.", no_args_is_help=True)


def path_of(text: str) -> Path:
    """Return the path. An empty string, such as from an unset shell variable, must not mean the current folder."""
    if not text.strip():
        raise typer.BadParameter("a path must not be empty; use '.' for the current folder")
    return Path(text)


@host_app.command("status")
def host_status() -> None:
    """Show the kept hosts and the models that they hold."""
    from modelenv.host.kept_hosts import kept_hosts

    hosts = [held for _, held in kept_hosts()]
    for held in hosts:
        models = ", ".join(held.models) or "no model"
        typer.echo(f"process {held.pid} holds {models}; idle for {held.idle_seconds:.0f} s")
    if not hosts:
        typer.echo("no kept hosts")


@host_app.command("stop")
def host_stop() -> None:
    """Stop all kept hosts."""
    from modelenv.host.kept_hosts import kept_hosts

    for client, held in kept_hosts():
        client.stop()
        typer.echo(f"stopping process {held.pid}")


@hub_app.command()
def serve(
    folder: Annotated[
        Path, typer.Argument(parser=path_of, metavar="PATH", help="A folder of models: <org>/<name>/ or <name>/.")
    ],
    port: Annotated[int, typer.Option(help="The port. 0 picks a free one.")] = 0,
    faults: Annotated[
        Path | None,
        typer.Option(parser=path_of, metavar="PATH", help="A TOML file of faults: which requests fail, and how."),
    ] = None,
) -> None:
    """Serve a folder of models on loopback, for any client of the Hub."""
    from modelenv.hub import serve as serve_folder

    serve_folder(folder, port=port, faults=faults, echo=typer.echo)
