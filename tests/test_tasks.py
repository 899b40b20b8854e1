"""Task names and aliases."""

from __future__ import annotations

import pytest

from modelenv.errors import ConfigurationError
from modelenv.tasks import REMOVED_TASKS, TASK_ALIASES, TASKS, Task, resolve_task


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_resolves_to_itself(name: str) -> None:
    assert resolve_task(name) == Task(name)


@pytest.mark.parametrize(("alias", "name"), sorted(TASK_ALIASES.items()))
def test_an_alias_of_transformers_names_its_task(alias: str, name: str) -> None:
    assert name in TASKS
    assert resolve_task(alias) == Task(name)


def test_sentiment_is_text_classification_with_all_scores() -> None:
    task = resolve_task("sentiment")
    assert (task.name, dict(task.pipeline_kwargs)) == ("text-classification", {"top_k": None})


def test_the_arguments_of_a_task_are_immutable() -> None:
    with pytest.raises(TypeError):
        resolve_task("sentiment").pipeline_kwargs["top_k"] = 1  # type: ignore[index]


@pytest.mark.parametrize(("name", "hint"), sorted(REMOVED_TASKS.items()))
def test_a_removed_task_names_its_replacement(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_task(name)
    assert str(caught.value) == (f"transformers 5 removed the task {name!r}\n  what to do: {hint}")


def test_a_translation_with_languages_is_removed_too() -> None:
    with pytest.raises(ConfigurationError, match="removed the task 'translation_en_to_fr'"):
        resolve_task("translation_en_to_fr")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("text-clasification", "did you mean 'text-classification'?"),
        ("sentimnt", "did you mean 'sentiment'?"),
        ("Sentiment", "did you mean 'sentiment'?"),
        ("", "use a task of transformers.pipeline"),
        ("make coffee", "use a task of transformers.pipeline"),
    ],
)
def test_an_unknown_task_lists_the_valid_ones(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_task(name)
    what, expected, action = str(caught.value).splitlines()
    assert what == f"unknown task {name!r}"
    assert expected == "  expected: one of " + ", ".join(sorted({*TASKS, *TASK_ALIASES, "sentiment"}))
    assert action == f"  what to do: {hint}"


@pytest.mark.integration
def test_the_lists_match_the_installed_transformers() -> None:
    from transformers import pipelines

    assert set(pipelines.SUPPORTED_TASKS) == TASKS
    assert pipelines.TASK_ALIASES == TASK_ALIASES
    # transformers redirects image-to-text with a warning. We name the new task instead.
    assert {*pipelines.REMOVED_TASKS, "image-to-text"} == set(REMOVED_TASKS)
    with pytest.raises(KeyError):
        pipelines.PIPELINE_REGISTRY.check_task("image-to-text")
