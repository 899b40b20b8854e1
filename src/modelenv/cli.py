"""The command line: verbs -> library calls -> text; no logic of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from modelenv.errors import ModelEnvError
from modelenv.settings import Settings
from modelenv.sources import explain_environment

app = typer.Typer(help="One model code for tests, laptop, CI and production.", no_args_is_help=True)
hub_app = typer.Typer(help="An embedded Hub on loopback.", no_args_is_help=True)
app.add_typer(hub_app, name="hub")
host_app = typer.Typer(help="Processes that hold models between test runs.", no_args_is_help=True)
app.add_typer(host_app, name="host")

EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Read variables from this file.")]


@app.callback()
def _common(context: typer.Context, env_file: EnvFile = None) -> None:
    context.obj = env_file


@app.command()
def env(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Ask as if this source were forced.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Explain which environment was detected, and why."""
    settings = Settings.load(env_file=context.obj, source=source)
    explanation = explain_environment(settings=settings)
    root = settings.root_of(explanation.source)
    facts = {
        "source": explanation.source.value,
        "reason": explanation.reason,
        "root": None if root is None else str(root),
        "timeout": settings.timeout_of(explanation.source),
        "device": settings.device,
    }
    origins = dict(settings.origins)
    if as_json:
        findings = [asdict(found) for found in explanation.findings]
        typer.echo(json.dumps({**facts, "probes": findings, "origins": origins}, indent=2))
        return
    typer.echo(f"{facts['source']}, decided by {facts['reason']}")
    typer.echo(f"models: {facts['root'] or 'none, fakes only'}; timeout {facts['timeout']:g} s\n")
    probes = [(found.probe, found.answer or "-", found.detail) for found in explanation.findings]
    typer.echo(_columns(("probe", "answer", "found"), *probes) + "\n")
    values = ((name, getattr(settings, name), origin) for name, origin in origins.items())
    values = ((name, "-" if value is None else str(value), origin) for name, value, origin in values)
    typer.echo(_columns(("setting", "value", "from"), *values))


def _columns(*rows: Sequence[str]) -> str:
    """Align the rows. They never break, so that a pipe gets one line for each."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


@host_app.command()
def status() -> None:
    """Say which kept hosts run, and what they hold."""
    from modelenv.host.kept import kept_hosts

    hosts = [held for _, held in kept_hosts()]
    for held in hosts:
        models = ", ".join(held.models) or "no model"
        typer.echo(f"process {held.pid} holds {models}; idle for {held.idle_seconds:.0f} s")
    if not hosts:
        typer.echo("no host is kept")


@host_app.command()
def stop() -> None:
    """End all kept hosts."""
    from modelenv.host.kept import kept_hosts

    for client, held in kept_hosts():
        client.stop()
        typer.echo(f"process {held.pid} ends")


@hub_app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A folder of models: <org>/<name>/ or <name>/.")],
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 0,
    faults: Annotated[Path | None, typer.Option(help="A TOML file: which requests fail, and how.")] = None,
) -> None:
    """Serve a folder of models over loopback, for any client of the Hub."""
    from modelenv.hub import serve as serve_folder

    serve_folder(folder, port=port, faults=faults, echo=typer.echo)


def main() -> None:
    """Run the command line; our own errors end it with their text and exit code 1."""
    try:
        app()
    except ModelEnvError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
