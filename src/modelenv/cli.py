"""The command line. It parses arguments, calls `modelenv.commands`, and prints the outcome."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from modelenv.cli_servers import host_app, hub_app, path_of
from modelenv.commands.outcome import Outcome, error_code, error_of_system, error_text
from modelenv.commands.progress import Progress
from modelenv.environment.settings import Settings
from modelenv.errors import ModelEnvError
from modelenv.volume.layout import VolumeLayout

app = typer.Typer(
    help="Load Hugging Face models with the same code in tests, on a laptop, in CI and in production.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # inherited by all commands
)
app.add_typer(hub_app, name="hub")
app.add_typer(host_app, name="host")


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", parser=path_of, metavar="PATH", help="The cache to use. Default: the detected one."),
]
VolumeDir = Annotated[
    Path | None,
    typer.Option("--volume", parser=path_of, metavar="PATH", help="Use a volume filled by `pull --to`."),
]
Names = Annotated[list[str] | None, typer.Argument(help="Model aliases or repo ids. Default: all.")]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", parser=path_of, metavar="PATH", help="Read variables from this file."),
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
    source: Annotated[str | None, typer.Option(help="Explain as if this source were forced.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which environment was detected, and why."""
    from modelenv.commands import explaining

    _finish(explaining.explain(Settings.load(env_file=context.obj, source=source)), as_json)


@app.command()
def pull(
    context: typer.Context,
    names: Names = None,
    to: Annotated[
        Path | None, typer.Option(parser=path_of, metavar="PATH", help="Fill this volume for production.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="With --to: keep what other locks put on the volume.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --to: drop what other locks put on the volume.")
    ] = False,
    layout: Annotated[
        VolumeLayout | None,
        typer.Option(
            help="With --to: `plain` for folders named <org>/<name>; `hub` for any program, with HF_HUB_CACHE. "
            "Default: that of the volume, else plain."
        ),
    ] = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the declared models into the cache, or onto a volume."""
    from modelenv.commands import fetching
    from modelenv.volume.sharing import Others

    if (add or replace) and (to is None or (add and replace)):
        raise typer.BadParameter("--add and --replace require --to and exclude each other")
    if layout is not None and to is None:
        raise typer.BadParameter("--layout requires --to")
    settings, progress = _start(context, as_json)
    if to is None:
        _finish(fetching.pull(settings, progress, names or (), cache_dir=cache_dir), as_json)
    elif names:
        raise typer.BadParameter("--to fills a volume with all locked models; it takes no names")
    else:
        others = Others.ADDED_TO if add else Others.REPLACED if replace else Others.REFUSED
        outcome = fetching.pull_to(settings, progress, to, cache_dir=cache_dir, others=others, layout=layout)
        _finish(outcome, as_json)


@app.command()
def verify(
    context: typer.Context,
    names: Names = None,
    full: Annotated[bool, typer.Option("--full", help="Hash all files, even unchanged ones.")] = False,
    volume: VolumeDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare the cache or a volume with the lock. Exit code 1 if anything differs."""
    from modelenv.commands import checking

    settings, progress = _start(context, as_json)
    outcome = checking.verify(settings, progress, names or (), full=full, volume=volume, cache_dir=cache_dir)
    _finish(outcome, as_json)


@app.command("list")
def list_models(
    context: typer.Context, volume: VolumeDir = None, cache_dir: CacheDir = None, as_json: AsJson = False
) -> None:
    """List the models in the cache or on a volume."""
    from modelenv.commands import storing

    settings, _ = _start(context, as_json)
    _finish(storing.list_models(settings, volume=volume, cache_dir=cache_dir), as_json)


@app.command()
def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    unshared: Annotated[
        bool, typer.Option("--unshared", help="Only this project uses the cache: remove what others fetched, too.")
    ] = False,
    volume: VolumeDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is no longer needed: old commits of locked models, leftovers, damaged files."""
    from modelenv.commands import storing

    settings, _ = _start(context, as_json)
    outcome = storing.prune(settings, dry_run=dry_run, unshared=unshared, volume=volume, cache_dir=cache_dir)
    _finish(outcome, as_json)


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="[--] COMMAND...", help="The command and its arguments.")],
    cache_dir: CacheDir = None,
) -> None:
    """Run a command that finds the locked models offline by their plain names, whatever program it is."""
    from modelenv.commands import running

    settings, progress = _start(context, as_json=False)
    running.run(settings, progress, command, cache_dir=cache_dir)


@app.command(context_settings={"allow_interspersed_args": False})
def adopt(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="[--] COMMAND...", help="The command and its arguments.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run it once, and only show what to declare.")] = False,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a command, declare and lock the models that it asks for, and run it again without the Hub."""
    from modelenv.commands import adopting

    settings, progress = _start(context, as_json)
    _finish(adopting.adopt(settings, progress, command, dry_run=dry_run, cache_dir=cache_dir), as_json)


@app.command()
def doctor(context: typer.Context, cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """Find problems of the setup, and say how to fix them. Exit code 1 if there are any."""
    from modelenv.commands import doctor as verb

    _finish(verb.doctor(lambda: Settings.load(env_file=context.obj), cache_dir=cache_dir), as_json)


@app.command()
def lock(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="With --upgrade: upgrade only these models.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare lock and declarations. Exit code 1 if they differ.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Move to the newest commits.")] = False,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Write modelenv.lock: each declared model's commit, files and hashes."""
    from modelenv.commands import locks

    if (check and upgrade) or (names and not upgrade):
        raise typer.BadParameter("names require --upgrade, which excludes --check")
    settings, progress = _start(context, as_json)
    if check:
        _finish(locks.check_lock(settings), as_json)
    else:
        moved = (names or ()) if upgrade else None
        _finish(locks.write_lock(settings, progress, upgrade=moved, cache_dir=cache_dir), as_json)


@app.command()
def outdated(context: typer.Context, as_json: AsJson = False) -> None:
    """Ask the Hub which locked models have a newer commit. Exit code 1 if any has, 3 if the Hub cannot be asked."""
    from modelenv.commands import locks

    settings, progress = _start(context, as_json)
    _finish(locks.outdated(settings, progress), as_json)


@app.command("cache-key")
def cache_key(context: typer.Context, as_json: AsJson = False) -> None:
    """Print a key for a CI cache. It changes when a locked file changes."""
    from modelenv.commands import locks

    settings, _ = _start(context, as_json)
    _finish(locks.cache_key(settings), as_json)


def _start(context: typer.Context, as_json: bool) -> tuple[Settings, Progress]:
    return Settings.load(env_file=context.obj), Progress.standard(quiet=as_json)


def _finish(outcome: Outcome, as_json: bool) -> None:
    typer.echo(outcome.text(as_json=as_json))
    raise typer.Exit(outcome.code)


def main() -> None:
    """Run the command line. A `ModelEnvError` or an `OSError` ends it with a message and an exit code."""
    try:
        app()
    except ModelEnvError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None:  # stdout failed: without this, Python would flush the rest of it again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(error_of_system(error))


def _fail(error: ModelEnvError) -> NoReturn:
    if "--json" in sys.argv[1:]:
        typer.echo(error_text(error))
    typer.echo(f"error: {error}", err=True)
    sys.exit(error_code(error))
