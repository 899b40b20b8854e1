"""The command line: verbs -> library calls -> text; no logic of its own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from modelenv.commands.outcome import Outcome, columns, error_code, error_of_system, error_text
from modelenv.commands.progress import Teller
from modelenv.environment.detection import explain_environment
from modelenv.environment.settings import Settings
from modelenv.errors import ModelEnvError

app = typer.Typer(
    help="One model code for tests, laptop, CI and production.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # commands inherit it
)
hub_app = typer.Typer(help="An embedded Hub on loopback.", no_args_is_help=True)
app.add_typer(hub_app, name="hub")
host_app = typer.Typer(help="Processes that hold models between test runs.", no_args_is_help=True)
app.add_typer(host_app, name="host")


def _folder(text: str) -> Path:
    """Return the path; an empty one, as of a variable that is not set, is no name for the working folder."""
    if not text.strip():
        raise typer.BadParameter("a path must not be empty; the working folder is '.'")
    return Path(text)


AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", parser=_folder, metavar="PATH", help="The cache; by default the detected one."),
]
VolumeDir = Annotated[
    Path | None,
    typer.Option("--volume", parser=_folder, metavar="PATH", help="A volume that `pull --to` filled."),
]
Names = Annotated[list[str] | None, typer.Argument(help="Aliases of models; none means all.")]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", parser=_folder, metavar="PATH", help="Read variables from this file."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelenv {version('modelenv')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


@app.callback()
def _common(context: typer.Context, env_file: EnvFile = None, _: Version = False) -> None:
    context.obj = env_file


@app.command()
def env(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Ask as if this source were forced.")] = None,
    as_json: AsJson = False,
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
    typer.echo("\n".join([*columns(("probe", "answer", "found"), *probes), ""]))
    values = ((name, getattr(settings, name), origin) for name, origin in origins.items())
    values = ((name, "-" if value is None else str(value), origin) for name, value, origin in values)
    typer.echo("\n".join(columns(("setting", "value", "from"), *values)))


@app.command()
def pull(
    context: typer.Context,
    names: Names = None,
    to: Annotated[
        Path | None, typer.Option(parser=_folder, metavar="PATH", help="Fill this volume, for production.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="With --to: keep what other locks put on the volume.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --to: drop what other locks put on the volume.")
    ] = False,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the declared models into the cache, or onto a volume."""
    from modelenv.commands import fetching
    from modelenv.volume.sharing import Others

    if (add or replace) and (to is None or (add and replace)):
        raise typer.BadParameter("--add or --replace goes with --to, and only one of them")
    settings, teller = _start(context, as_json)
    if to is None:
        _finish(fetching.pull(settings, teller, names or (), cache_dir=cache_dir), as_json)
    elif names:
        raise typer.BadParameter("a volume holds the whole lock: name no model beside --to")
    else:
        others = Others.ADDED_TO if add else Others.REPLACED if replace else Others.REFUSED
        _finish(fetching.pull_to(settings, teller, to, cache_dir=cache_dir, others=others), as_json)


@app.command()
def verify(
    context: typer.Context,
    names: Names = None,
    full: Annotated[bool, typer.Option("--full", help="Hash everything, also what did not change since.")] = False,
    volume: VolumeDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare the cache, or a volume, with what was locked; 1 if anything differs."""
    from modelenv.commands import checking

    settings, teller = _start(context, as_json)
    outcome = checking.verify(settings, teller, names or (), full=full, volume=volume, cache_dir=cache_dir)
    _finish(outcome, as_json)


@app.command("list")
def list_models(
    context: typer.Context, volume: VolumeDir = None, cache_dir: CacheDir = None, as_json: AsJson = False
) -> None:
    """List the models of the cache, or of a volume."""
    from modelenv.commands import storing

    settings, _ = _start(context, as_json)
    _finish(storing.list_models(settings, volume=volume, cache_dir=cache_dir), as_json)


@app.command()
def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    unshared: Annotated[
        bool, typer.Option("--unshared", help="No other project uses this cache: whoever fetched it, it goes.")
    ] = False,
    volume: VolumeDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove what nothing needs any more: old commits of locked models, leftovers, damaged files."""
    from modelenv.commands import storing

    settings, _ = _start(context, as_json)
    outcome = storing.prune(settings, dry_run=dry_run, unshared=unshared, volume=volume, cache_dir=cache_dir)
    _finish(outcome, as_json)


@app.command()
def doctor(context: typer.Context, cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Say what is wrong here, and how to mend it; 1 if anything is."""
    from modelenv.commands import doctor as verb

    _finish(verb.doctor(lambda: Settings.load(env_file=context.obj), cache_dir=cache_dir), as_json)


@app.command()
def lock(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="With --upgrade: only these.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare; 1 if they disagree.")] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Move to the newest commits.")] = False,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Write modelenv.lock: each declared model's commit, files and hashes."""
    from modelenv.commands import locks

    if (check and upgrade) or (names and not upgrade):
        raise typer.BadParameter("names go with --upgrade, and --check goes alone")
    settings, teller = _start(context, as_json)
    if check:
        _finish(locks.check_lock(settings), as_json)
    else:
        moved = (names or ()) if upgrade else None
        _finish(locks.write_lock(settings, teller, upgrade=moved, cache_dir=cache_dir), as_json)


@app.command()
def outdated(context: typer.Context, as_json: AsJson = False) -> None:
    """Ask the Hub which locked models have a newer commit; 1 if any has, 3 if it cannot be asked."""
    from modelenv.commands import locks

    settings, teller = _start(context, as_json)
    _finish(locks.outdated(settings, teller), as_json)


@app.command("cache-key")
def cache_key(context: typer.Context, as_json: AsJson = False) -> None:
    """Print one line for a CI cache: it changes when a locked file does."""
    from modelenv.commands import locks

    settings, _ = _start(context, as_json)
    _finish(locks.cache_key(settings), as_json)


def _start(context: typer.Context, as_json: bool) -> tuple[Settings, Teller]:
    return Settings.load(env_file=context.obj), Teller.standard(quiet=as_json)


def _finish(outcome: Outcome, as_json: bool) -> None:
    typer.echo(outcome.text(as_json=as_json))
    raise typer.Exit(outcome.code)


@host_app.command("status")
def host_status() -> None:
    """Say which kept hosts run, and what they hold."""
    from modelenv.host.kept import kept_hosts

    hosts = [held for _, held in kept_hosts()]
    for held in hosts:
        models = ", ".join(held.models) or "no model"
        typer.echo(f"process {held.pid} holds {models}; idle for {held.idle_seconds:.0f} s")
    if not hosts:
        typer.echo("no host is kept")


@host_app.command("stop")
def host_stop() -> None:
    """End all kept hosts."""
    from modelenv.host.kept import kept_hosts

    for client, held in kept_hosts():
        client.stop()
        typer.echo(f"process {held.pid} ends")


@hub_app.command()
def serve(
    folder: Annotated[
        Path, typer.Argument(parser=_folder, metavar="PATH", help="A folder of models: <org>/<name>/ or <name>/.")
    ],
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 0,
    faults: Annotated[
        Path | None, typer.Option(parser=_folder, metavar="PATH", help="A TOML file: which requests fail, and how.")
    ] = None,
) -> None:
    """Serve a folder of models over loopback, for any client of the Hub."""
    from modelenv.hub import serve as serve_folder

    serve_folder(folder, port=port, faults=faults, echo=typer.echo)


def main() -> None:
    """Run the command line; our own errors, and what the system refuses, end it with a text and an exit code."""
    try:
        app()
    except ModelEnvError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None:  # the output: what is left of it would be tried once more at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(error_of_system(error))


def _fail(error: ModelEnvError) -> NoReturn:
    if "--json" in sys.argv[1:]:
        typer.echo(error_text(error))
    typer.echo(f"error: {error}", err=True)
    sys.exit(error_code(error))
