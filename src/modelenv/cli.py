"""The command line: verbs -> library calls -> text; no logic of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from modelenv.errors import ModelEnvError
from modelenv.settings import Settings
from modelenv.sources import explain_environment

app = typer.Typer(help="One model code for tests, laptop, CI and production.", no_args_is_help=True)
hub_app = typer.Typer(help="An embedded Hub on loopback.", no_args_is_help=True)
app.add_typer(hub_app, name="hub")

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
        probes = [
            {"probe": found.probe, "answer": found.answer and found.answer.value, "detail": found.detail}
            for found in explanation.findings
        ]
        typer.echo(json.dumps({**facts, "probes": probes, "origins": origins}, indent=2))
        return
    # A pipe has no width of its own; rows must not break there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(f"[bold]{facts['source']}[/], decided by {facts['reason']}")
    console.print(f"models: {facts['root'] or 'none, fakes only'}; timeout {facts['timeout']:g} s")
    table = Table("probe", "answer", "found", box=None)
    for found in explanation.findings:
        table.add_row(found.probe, found.answer.value if found.answer else "-", found.detail)
    console.print(table)
    values = Table("setting", "value", "from", box=None)
    for name, origin in origins.items():
        value = getattr(settings, name)
        values.add_row(name, "-" if value is None else str(value), origin)
    console.print(values)


@hub_app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A folder of models: <org>/<name>/ or <name>/.")],
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 0,
) -> None:
    """Serve a folder of models over loopback, for any client of the Hub."""
    from modelenv.hub import serve as serve_folder

    serve_folder(folder, port=port, echo=typer.echo)


def main() -> None:
    """Run the command line; our own errors end it with their text and exit code 1."""
    try:
        app()
    except ModelEnvError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
