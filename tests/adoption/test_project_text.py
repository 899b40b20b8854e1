"""Declarations are added to `pyproject.toml`, and everything else in it stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelenv.adoption.project_text import with_declarations
from modelenv.environment.project import Alias, read_project_file
from modelenv.errors import ConfigurationError
from modelenv.references import ModelRef

PATH = Path("/project/pyproject.toml")
NEW = {
    "tiny": Alias(ModelRef("acme/tiny")),
    "tagged.v1": Alias(ModelRef("acme/tiny", "v1.0"), files=("onnx/*", 'a "b".json')),
}
LINES = """\
tiny = "acme/tiny"
"tagged.v1" = { repo = "acme/tiny", revision = "v1.0", files = ["onnx/*", "a \\"b\\".json"] }
"""


def test_a_new_file() -> None:
    assert with_declarations("", NEW, path=PATH) == f"[tool.modelenv.models]\n{LINES}"


def test_a_file_without_the_table_gets_it_at_the_end() -> None:
    text = "# a comment\n[project]   # another\nname='x'"
    assert with_declarations(text, NEW, path=PATH) == f"{text}\n\n[tool.modelenv.models]\n{LINES}"


def test_models_are_added_after_those_in_the_table() -> None:
    before = "[tool.modelenv.models]  # ours\nfirst   =  'acme/first'   # the first\n"
    after = "\n# the linter\n[tool.ruff]\nline-length=118\n"
    assert with_declarations(before + after, NEW, path=PATH) == before + LINES + after


@pytest.mark.parametrize(
    "text",
    [
        "[tool.modelenv]\nsource = 'local_cache'\n\n[tool.ruff]\nline-length = 100\n",
        "[tool.modelenv]\nmodels = { first = 'acme/first' }\n",
        "[tool]\nmodelenv.models.first = 'acme/first'\n",
        "[tool.modelenv.models]\nfirst = 'acme/first'\n[project]\nname = 'x'\n[tool.ruff]\nline-length = 100\n",
        "[tool.modelenv.models.first]\nrepo = 'acme/first'\n\n[tool.ruff]\nline-length = 100\n",
        "[tool.ruff]\r\nline-length = 100\r\n",
    ],
)
def test_each_way_to_write_the_table(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(text.encode())
    before = read_project_file(path)
    after = with_declarations(text, NEW, path=path)
    assert after.count("\r") in (0, after.count("\n"))
    assert all(line in after.splitlines() for line in text.splitlines() if "models = {" not in line)
    path.write_bytes(after.encode())
    found = read_project_file(path)
    assert found.models == {**before.models, **NEW}
    assert found.settings == before.settings


def test_without_new_models_nothing_changes() -> None:
    assert with_declarations("[project]", {}, path=PATH) == "[project]"


def test_invalid_toml() -> None:
    with pytest.raises(ConfigurationError, match=r"not valid TOML") as caught:
        with_declarations("[project", NEW, path=PATH)
    assert str(caught.value.found).startswith(f"{PATH}: ")


def test_a_file_to_which_nothing_can_be_added() -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_declarations("tool = { ruff = { line-length = 100 } }\n", NEW, path=PATH)
    assert str(caught.value) == (
        "models cannot be added to this file without changing something else in it\n"
        f"  expected: [tool.modelenv.models]\n{LINES.rstrip()}\n"
        f"  found: {PATH}\n"
        "  what to do: add these lines by hand, then run `modelenv lock`"
    )
