"""Chats as text: a model's chat template, rendered as `apply_chat_template` of transformers 5.23 does."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelenv.fakes.facts import ModelFacts


def read_template(facts: ModelFacts) -> str | None:
    """Return the chat template of the model's folder, or None where it has none."""
    path = None if facts.folder is None else facts.folder / "chat_template.jinja"
    if path is not None and path.is_file():
        return path.read_text(encoding="utf-8")
    template = facts.read_file("tokenizer_config.json").get("chat_template")
    return template if isinstance(template, str) else None


def render(facts: ModelFacts, messages: Sequence[Mapping[str, Any]], *, continues: bool, **variables: Any) -> str:
    """Return the prompt of a chat.

    Without a folder, or without jinja2, whose templates cannot then be rendered, it is the messages, one a line.

    Args:
        facts: of the model.
        messages: of the chat.
        continues: whether the answer goes on with the last message; otherwise it is a message of its own.
        variables: further variables of the template, such as `tools`.

    Raises:
        ValueError: the model's folder has no chat template, or the last message does not stand in the prompt.
        Exception: of jinja2, where the template does not take these messages.
    """
    if len(messages) == 0:
        raise ValueError("a chat must have at least one message")
    template = read_template(facts)
    if facts.folder is not None and template is None:
        raise ValueError("the tokenizer has no chat template, so it cannot make a prompt of a chat")
    plain = [{key: value for key, value in message.items() if value is not None} for message in messages]
    if template is None or find_spec("jinja2") is None:
        return "\n".join(f"{message['role']}: {message.get('content', '')}" for message in plain)
    if continues and "content" not in plain[-1]:
        raise ValueError("the last message has no content, so it cannot be continued")
    special = {
        name: value for name, value in facts.read_file("tokenizer_config.json").items() if name.endswith("_token")
    }
    prompt = _rendered(
        template,
        messages=plain,
        add_generation_prompt=not continues,
        **{"tools": None, "documents": None} | special | variables,
    )
    return _cut_after(prompt, plain[-1]["content"]) if continues else prompt


def _cut_after(prompt: str, content: Any) -> str:
    """Return the prompt up to the end of the last message, whose end marks must not close it."""
    text = content if isinstance(content, str) else next(part["text"] for part in reversed(content) if "text" in part)
    place = prompt.rfind(text.strip())
    if place < 0:
        raise ValueError("the last message does not stand in the prompt, so it cannot be continued")
    return prompt[: place + len(text.rstrip() if not prompt[place:].startswith(text) else text)]


def _rendered(template: str, **variables: Any) -> str:
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(template).render(**variables)
