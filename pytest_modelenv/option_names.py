"""Adds the plugin's options so that a project can have options of the same names: the project's replace them.

The project's option can be added before the plugin's, by another plugin, or after it, in a conftest.py.

PYTEST_DONT_REWRITE: this module has no assertions, so pytest need not search it for them in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# The names of the plugin's options that others have. Those of the command line begin with `--`.
_TAKEN: pytest.StashKey[set[str]] = pytest.StashKey()


class OptionNames:
    """Adds options to the command line and the ini-file, and gives up those that another plugin or conftest.py adds.

    argparse refuses a second option with the same name, and pytest has no hook that runs before a conftest.py adds
    its options. So the parser's public methods are replaced, on this one parser.

    pytest parses the command line once before it imports each conftest.py, with the plugin's options. So an option of
    a conftest.py must take a value where the plugin's option of the same name does: `--real-models=all` is an error.

    Args:
        parser: pytest's parser.
        config: pytest's configuration. Its command line is not parsed yet.
        title: The title of the options in `--help`.
    """

    def __init__(self, parser: pytest.Parser, config: pytest.Config, title: str) -> None:
        self._config = config
        self._taken = config.stash[_TAKEN] = set()
        self._group = parser.getgroup("modelenv", title)
        self._addoption, self._addini = self._group.addoption, parser.addini
        self._options: dict[str, tuple[str, Any]] = {}  # the attribute of each in pytest's namespace, and its default
        self._inis: dict[str, Any] = {}
        self._wrapped = {id(self._group)}
        self._getgroup = parser.getgroup
        vars(parser).update(
            addoption=self._yielding(parser.addoption),
            addini=self._addini_of_others,
            getgroup=self._getgroup_of_others,
        )

    def addoption(self, name: str, **attributes: Any) -> None:
        """Add an option to the command line, unless another plugin has it."""
        if self._is_added(name):
            self._taken.add(name)
            return
        self._addoption(name, **attributes)
        self._options[name] = attributes["dest"], attributes.get("default")

    def addini(self, name: str, help_text: str, *, default: Any, kind: Any = "string") -> None:
        """Add an option to the ini-file, unless another plugin has it."""
        try:
            self._config.getini(name)
        except ValueError:  # there is none
            self._addini(name, help_text, type=kind, default=default)
            self._inis[name] = default
            return
        except pytest.UsageError:  # there is one, and its value is invalid
            pass
        self._taken.add(name)

    def _is_added(self, name: str) -> bool:
        try:
            self._config.getoption(name)
        except ValueError as error:
            # In older versions of pytest, an option without a default has no value yet. The error has its attribute.
            return repr(name) not in str(error)
        return True

    def _getgroup_of_others(self, *args: Any, **kwargs: Any) -> Any:
        group = self._getgroup(*args, **kwargs)
        if id(group) not in self._wrapped:
            self._wrapped.add(id(group))
            vars(group).update(addoption=self._yielding(group.addoption))
        return group

    def _yielding(self, addoption: Callable[..., None]) -> Callable[..., None]:
        """Return `addoption`, which first gives up the plugin's options with the same names."""

        def yielding(*names: str, **attributes: Any) -> None:
            for name in self._options.keys() & names:
                self._give_up(name)
            addoption(*names, **attributes)

        return yielding

    def _give_up(self, name: str) -> None:
        dest, default = self._options.pop(name)
        self._taken.add(name)
        (option,) = (each for each in self._group.options if name in each.names())
        self._group.options.remove(option)
        action = option.attrs()
        if "container" in action:  # older versions of pytest build the parser later, from the groups
            action["container"]._handle_conflict_resolve(None, [(name, option._action)])  # noqa: SLF001 - see above
        namespace = getattr(self._config, "known_args_namespace", None)
        if namespace is not None and not self._config.args:  # pytest has not parsed all options
            setattr(namespace, dest, default)

    def _addini_of_others(self, name: str, *args: Any, **kwargs: Any) -> None:
        if name in self._inis:
            del self._inis[name]
            self._taken.add(name)
            # Its value has been read with the type of the plugin's option.
            getattr(self._config, "_inicache", {}).pop(name, None)
        self._addini(name, *args, **kwargs)


def ini_of(config: pytest.Config, name: str) -> Any:
    """Return the value of an ini-option, or None if it belongs to another plugin or conftest.py.

    Raises:
        pytest.UsageError: It does not have the type of the option. Before each conftest.py is imported, it could be
            another's, and is None.
    """
    if name in config.stash[_TAKEN]:
        return None
    try:
        return config.getini(name)
    except pytest.UsageError:
        if config.args:
            raise
        return None


def option_of(config: pytest.Config, name: str) -> Any:
    """Return the value of one of the plugin's options, also before pytest has parsed all options.

    It is None if the option of this name belongs to another plugin or conftest.py.
    """
    return getattr(config.known_args_namespace, f"modelenv_{name}", None)


def options_are_parsed(config: pytest.Config) -> None:
    """Take the values that pytest parsed after it knew the options of each conftest.py."""
    known = config.known_args_namespace
    vars(known).update({name: value for name, value in vars(config.option).items() if name.startswith("modelenv_")})


def is_strict(config: pytest.Config) -> bool:
    """Whether an unknown ini-option is an error. Older versions of pytest have only the option."""
    if config.getoption("strict_config", False):
        return True
    for name in ("strict_config", "strict"):
        try:
            value = config.getini(name)
        except ValueError:
            continue
        if value is not None:
            return bool(value)
    return False
