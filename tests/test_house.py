"""The rules for the source code: layers, imports, and who accesses the disk, sockets and the environment."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
CORE = HOME / "src" / "modelenv"
PLUGIN = HOME / "pytest_modelenv"
HEAVY = {"torch", "transformers", "huggingface_hub", "numpy", "filelock", "starlette", "uvicorn", "httpx", "httpx2",
         "safetensors", "tokenizers", "dotenv", "asyncio"}  # fmt: skip

# The modules that can read or change environment variables, and why.
READS_ENVIRONMENT = {
    "modelenv/environment/inputs.py",  # detects changes
    "modelenv/environment/settings.py",  # reads all settings, once
    "modelenv/environment/libraries.py",  # sets variables for a block and restores them
    "modelenv/environment/hub_client.py",  # finds the variable that the Hub's client cannot use
    "modelenv/commands/running.py",  # hands them to the command that it becomes
    "modelenv/adoption",  # hands them to the command, and reads what it handed down and which test runs
    "pytest_modelenv/adopting.py",  # reads what was handed down
    "modelenv/forcing.py",  # restores the user's HF_HUB_OFFLINE
    "modelenv/host/folder.py",  # a kept host serves only processes with the same settings for threads and devices
    "pytest_modelenv/options.py",  # for options that are not set
    "pytest_modelenv/startup.py",  # whether the user sets a variable about models
}
# The modules that can open sockets, and why.
OPENS_SOCKETS = {
    "modelenv/hub",  # serves on loopback
    "modelenv/host",  # serves on loopback
    "modelenv/fetching/monitor.py",  # shuts down the sockets of the client
}
# The modules that can import huggingface_hub or an HTTP client, and why.
USES_THE_HUB_CLIENT = {
    "modelenv/fetching/answers.py",  # validates its responses; needs only a type
    "modelenv/fetching/no_hub.py",  # forbids requests in production
    "modelenv/fetching/snapshot.py",
    "modelenv/fetching/errors.py",  # knows the client's errors
    "modelenv/fetching/monitor.py",  # watches its requests
    "modelenv/environment/hub_client.py",  # the client and its constants; checks their variables
    "modelenv/fetching/blobs.py",  # downloads the files of a lock
    "modelenv/interception/factories.py",  # wraps the factories of the client
    "modelenv/interception/transport.py",  # wraps the transports of the client; needs only types
    "modelenv/environment/progress_bars.py",  # only the class of the client's progress bars
    "modelenv/fetching/resolving.py",  # requests the current commit of a model
}
# The modules that can write to disk, and why.
WRITES = {
    "modelenv/store/store.py",  # the store, and small files that are written atomically
    "modelenv/files/disk.py",  # small files that are written atomically, for all other modules
    "modelenv/files/claims.py",  # records which lock needs which snapshot
    "modelenv/store/pruning.py",  # removes snapshots, for `prune`
    "modelenv/fetching/publishing.py",  # links of a snapshot, under the model's lock
    "modelenv/fetching/blobs.py",  # the blobs that it fetches
    "modelenv/volume/filling.py",
    "modelenv/volume/copying.py",
    "modelenv/volume/placing.py",
    "modelenv/loading/locked_folder.py",  # links of a snapshot, under the model's lock
    "modelenv/interception/links.py",  # links to verified files, in a private temporary folder
    "modelenv/fetching/snapshot.py",  # removes a wrong listing, under the model's lock
    "modelenv/fetching/leftovers.py",  # removes what killed processes left, under the model's lock
    "modelenv/locks/project_lock.py",
    "modelenv/commands/adopting.py",  # the declarations in pyproject.toml
    "modelenv/volume/metadata.py",
    "modelenv/hub/repos/blobs.py",  # what clients upload to the embedded Hub
    "modelenv/host",  # its socket, lock and log
    "modelenv/testing.py",  # models made for tests
    "modelenv/tiny",  # models made for tests
    "pytest_modelenv/session_cache.py",  # removes the folder that the workers share
    "pytest_modelenv/shared_folders.py",  # creates it
}
# The layers, from top to bottom. A package imports only lower layers, also in functions and for type checkers.
LAYERS = (
    ("pytest_modelenv", "modelenv"),
    ("pytest_modelenv.plugin",),
    ("pytest_modelenv.fixtures",),
    ("pytest_modelenv.access",),
    ("pytest_modelenv.run", "pytest_modelenv.suite"),
    ("pytest_modelenv.scopes", "pytest_modelenv.report"),
    ("pytest_modelenv.guards",),
    ("pytest_modelenv.session_cache",),
    (
        "pytest_modelenv.hosting",
        "pytest_modelenv.hub_tasks",
        "pytest_modelenv.locked_models",
        "pytest_modelenv.planning",
        "pytest_modelenv.shared_folders",
    ),
    ("pytest_modelenv.gate",),
    ("pytest_modelenv.markers",),
    ("pytest_modelenv.options",),
    (
        "pytest_modelenv.startup",
        "pytest_modelenv.adopting",
        "pytest_modelenv.memory",
        "pytest_modelenv.shown_errors",
        "pytest_modelenv.fixture_types",
    ),
    ("pytest_modelenv.project_files", "pytest_modelenv.option_names"),
    ("modelenv.__main__", "modelenv.default"),
    ("modelenv.cli",),
    ("modelenv.cli_servers",),
    ("modelenv.shared_manager",),
    ("modelenv.commands", "modelenv.manager"),
    ("modelenv.manager_state",),
    ("modelenv.handles", "modelenv.host"),
    ("modelenv.forcing",),
    ("modelenv.adoption",),
    ("modelenv.interception",),
    ("modelenv.loading",),
    ("modelenv.volume", "modelenv.fetching"),
    ("modelenv.store", "modelenv.fakes"),
    ("modelenv.locks", "modelenv.testing"),
    ("modelenv.environment",),
    ("modelenv.files",),
    (
        "modelenv.references",
        "modelenv.deadlines",
        "modelenv.tasks",
        "modelenv.tiny",
        "modelenv.hub",
        "modelenv.amounts",
    ),
    ("modelenv.errors", "modelenv.forks"),
)
ROW = {name: number for number, names in enumerate(LAYERS) for name in names}
WRITERS = {"write_text", "write_bytes", "mkdir", "makedirs", "touch", "unlink", "rename", "replace", "rmtree",
           "symlink_to", "hardlink_to", "chmod", "rmdir", "copytree", "copyfile", "mkdtemp", "mkstemp"}  # fmt: skip


CORE_FILES = tuple(sorted(CORE.rglob("*.py")))
PLUGIN_FILES = tuple(sorted(PLUGIN.rglob("*.py")))
FILES = CORE_FILES + PLUGIN_FILES


@functools.cache
def name_of(path: Path) -> str:
    return str(path.relative_to(CORE.parent if path.is_relative_to(CORE) else HOME))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def allowed(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(place + "/") for place in places)


def named(found: Iterable[tuple[Path, object]]) -> dict[str, object]:
    """Return the findings by file, without files that have none."""
    return {name_of(path): what for path, what in found if what}


def module_name(path: Path) -> str:
    parts = Path(name_of(path)).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST, path: Path) -> Iterator[str]:
    """Yield the full names of the modules in an import statement. For `from a import b`, yield `a` and `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module_name(path).split(".")
            package = package[: len(package) - node.level + (path.name == "__init__.py")]
            base = ".".join([*package, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def all_imports(path: Path) -> set[str]:
    return {name for node in ast.walk(tree_of(path)) for name in imported(node, path)}


@functools.cache
def imports_at_import(path: Path) -> set[str]:
    """Return the imports at import time: not those in functions, and not those only for type checkers."""
    names: set[str] = set()
    pending: list[ast.AST] = [tree_of(path)]
    while pending:
        node = pending.pop()
        names.update(imported(node, path))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return names


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_the_library_never_imports_pytest_nor_its_plugin() -> None:
    forbidden = {"pytest", "_pytest", "pytest_modelenv", "xdist"}
    assert named((path, roots(all_imports(path)) & forbidden) for path in CORE_FILES) == {}


def test_the_plugin_imports_the_library_only_inside_functions() -> None:
    assert named((path, roots(imports_at_import(path)) & ({"modelenv"} | HEAVY)) for path in PLUGIN_FILES) == {}
    assert named((path, roots(all_imports(path)) & {"_pytest"}) for path in PLUGIN_FILES) == {}


def test_all_hooks_are_in_one_file() -> None:
    def hooks(path: Path) -> set[str]:
        functions = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef))
        return {function.name for function in functions if function.name.startswith("pytest_")}

    plugins = {"pytest_modelenv/plugin.py", "pytest_modelenv/adopting.py"}  # the second is only for `modelenv adopt`
    assert set(named((path, hooks(path)) for path in PLUGIN_FILES)) == plugins


def test_heavy_libraries_are_imported_only_inside_functions() -> None:
    """The embedded Hub is an exception."""
    found = named((path, roots(imports_at_import(path)) & HEAVY) for path in CORE_FILES)
    assert [name for name in found if not name.startswith("modelenv/hub/")] == []


def test_modules_that_read_the_environment() -> None:
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}

    def reads(path: Path) -> set[str]:
        attributes = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
        return attributes & names | all_imports(path) & {f"os.{name}" for name in names}

    assert named((path, reads(path)) for path in FILES if not allowed(name_of(path), READS_ENVIRONMENT)) == {}


def test_modules_that_open_sockets() -> None:
    network = {"socket", "socketserver", "http.server", "http.client", "urllib.request", "uvicorn", "requests"}
    clients = {"huggingface_hub", "httpx", "httpx2"}
    others = [path for path in FILES if not allowed(name_of(path), OPENS_SOCKETS)]
    assert named((path, all_imports(path) & network) for path in others) == {}
    others = [path for path in others if not allowed(name_of(path), USES_THE_HUB_CLIENT)]
    assert named((path, roots(all_imports(path)) & clients) for path in others) == {}


def writes(tree: ast.Module) -> set[str]:
    """Return the calls that write to disk, by their names in pathlib, os, shutil and tempfile."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            modes = [arg.value for arg in [*node.args, *(word.value for word in node.keywords)]
                     if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]  # fmt: skip
            if name == "open" and any(set(mode) & set("wax+") and len(mode) <= 3 for mode in modes):
                found.add(ast.unparse(node))
            text_or_values = name == "replace" and len(node.args) + len(node.keywords) != 1  # str, dataclasses
            if name in WRITERS and not text_or_values:
                found.add(ast.unparse(node))
    return found - {"repository.rename(repo_id)"}  # this method of the embedded Hub works in memory


def test_modules_that_write_to_disk() -> None:
    assert named((path, writes(tree_of(path))) for path in FILES if not allowed(name_of(path), WRITES)) == {}


# The modules that can create a lock that is not reset in a forked child, and why. Others use `forks.new_lock`.
OWN_LOCKS = {
    "modelenv/forks.py",  # creates the other locks
    "modelenv/loading/build_lock.py",  # resets itself after a fork
    "modelenv/fetching/monitor.py",  # lives for one download
    "modelenv/host/client.py",  # resets itself after a fork
    "modelenv/host/serving",  # the host's process does not fork
    "modelenv/host/__main__.py",
    "modelenv/hub/background.py",  # lives for the start of a server
    "pytest_modelenv",  # its only thread is the one that forks
}


def test_modules_that_create_locks_that_outlive_a_fork() -> None:
    kinds = {"Lock", "RLock", "Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "local", "Queue",
             "cached_property"}  # fmt: skip

    def locks(path: Path) -> set[str]:
        names = {f"{module}.{kind}" for module in ("threading", "queue", "functools") for kind in kinds}
        used = {ast.unparse(node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
        return (used | all_imports(path)) & names

    def types_only(path: Path) -> set[str]:
        """The type of a field or an argument is written as `threading.Lock` too."""
        nodes = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.AnnAssign | ast.arg))
        return {ast.unparse(node.annotation) for node in nodes if node.annotation is not None}

    found = named((path, locks(path) - types_only(path)) for path in FILES if not allowed(name_of(path), OWN_LOCKS))
    assert found == {}


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def overridden(holder: ast.Module | ast.ClassDef, tree: ast.Module) -> set[str]:
    """Return the methods of a class's bases in the same module."""
    bases = {ast.unparse(base) for base in getattr(holder, "bases", ())}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in bases]
    return {method.name for node in classes for method in node.body if isinstance(method, ast.FunctionDef)}


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Yield the module and its public classes, functions and methods that lack a docstring."""
    if not ast.get_docstring(tree):
        yield "the module"
    pending: list[tuple[ast.Module | ast.ClassDef, str]] = [(tree, "")]
    while pending:
        holder, prefix = pending.pop()
        for node in holder.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            decorators = " ".join(map(ast.unparse, node.decorator_list))
            # A setter is documented by its property, an overload by the function, a hook by pytest, and an
            # overriding method by the overridden one.
            excused = "setter" in decorators or "overload" in decorators or node.name.startswith("pytest_")
            excused = excused or node.name in overridden(holder, tree)
            if node.name.startswith("_") or excused:
                continue
            if not ast.get_docstring(node):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                pending.append((node, f"{prefix}{node.name}."))


def test_public_names_have_docstrings() -> None:
    assert named((path, list(undocumented(tree_of(path)))) for path in FILES) == {}


def place_of(module: str) -> str:
    """Return the module's name in the layers: its package, or the module itself if it is at the top level."""
    return ".".join(module.split(".")[:2])


def against_the_layers(module: str, tree: ast.Module, path: Path) -> set[str]:
    """Return the imports of a module, of every kind, that lead neither to a lower layer nor to its own package."""
    own = place_of(module)
    names = {name for node in ast.walk(tree) for name in imported(node, path)} - {"modelenv", "pytest_modelenv"}
    targets = {place_of(name) for name in names} & set(ROW)
    return {target for target in targets if target != own and ROW[target] <= ROW[own]}


@functools.cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in FILES}


def test_every_module_has_a_layer() -> None:
    assert {place_of(name) for name in modules()} == set(ROW)


def test_a_package_imports_only_lower_layers() -> None:
    found = {name: against_the_layers(name, tree_of(path), path) for name, path in modules().items()}
    assert {name: targets for name, targets in found.items() if targets} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from modelenv.loading.build import load_pipeline",
        "import modelenv.loading",
        "def load():\n    from modelenv.loading import build",
        "if TYPE_CHECKING:\n    from modelenv.loading.cache import PipelineCache",
        "from ..loading import build",
    ],
)
def test_an_import_against_the_layers_is_found(code: str) -> None:
    path = CORE / "store" / "store.py"
    assert against_the_layers("modelenv.store.store", ast.parse(code), path) == {"modelenv.loading"}
    assert against_the_layers("modelenv.commands.pulling", ast.parse(code.replace("..", "modelenv.")), path) == set()


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """Return the modules that each module imports in any way. Its own parent packages do not count."""
    known = set(modules())
    return {
        name: {target for target in all_imports(path) & known if not name.startswith(f"{target}.")} - {name}
        for name, path in modules().items()
        if name != "modelenv"  # its names are imported on first use
    }


def test_there_are_no_import_cycles() -> None:
    list(graphlib.TopologicalSorter(import_graph()).static_order())  # raises CycleError


@pytest.mark.parametrize(
    "code",
    [
        "from pytest_modelenv.access import models_of",
        "def models():\n    from pytest_modelenv import access",
        "if TYPE_CHECKING:\n    from pytest_modelenv.run import ModelRun",
    ],
)
def test_an_import_cycle_of_the_plugin_is_found(code: str) -> None:
    path = PLUGIN / "startup.py"
    names = {name for node in ast.walk(ast.parse(code)) for name in imported(node, path)} & set(modules())
    names -= {"pytest_modelenv"}
    graph = dict(import_graph())
    graph["pytest_modelenv.startup"] = graph["pytest_modelenv.startup"] | names
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())
    assert against_the_layers("pytest_modelenv.startup", ast.parse(code), path) == names


def test_the_checks_find_what_they_should() -> None:
    tree = ast.parse("path.write_text('x')\nopen(p, 'wb')\na.replace('b', 'c')\npath.replace(other)\nopen(p, 'rb')")
    assert writes(tree) == {"path.write_text('x')", "open(p, 'wb')", "path.replace(other)"}
    code = "'''Text.'''\nclass A:\n  '''Text.'''\n  def b(self): ...\n  def _c(self): ...\ndef d(): ..."
    assert list(undocumented(ast.parse(code))) == ["d", "A.b"]
    assert "huggingface_hub" in roots(all_imports(CORE / "fetching" / "snapshot.py"))
    assert "huggingface_hub" not in roots(imports_at_import(CORE / "fetching" / "snapshot.py"))
    assert "modelenv.hub.background" in all_imports(CORE / "hub" / "server.py")
    assert "modelenv.hub.background" not in imports_at_import(CORE / "hub" / "server.py")
