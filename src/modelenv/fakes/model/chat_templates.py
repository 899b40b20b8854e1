"""Renders a model's chat template, like `apply_chat_template` of transformers 5.24."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from inspect import isfunction, ismethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

# Marks the end of a message that is continued. A template that strips messages removes its space.
_END = "CONTINUE_FINAL_MESSAGE_TAG "
_REASONING = ("reasoning_content", "thinking", "reasoning")


def read_template(facts: ModelFacts) -> str | None:
    """Return the chat template in the model's folder, or None if there is none."""
    path = None if facts.folder is None else facts.folder / "chat_template.jinja"
    if path is not None and path.is_file():
        return path.read_text(encoding="utf-8")
    template = facts.read_file("tokenizer_config.json").get("chat_template")
    return template if isinstance(template, str) else None


def render(
    facts: ModelFacts,
    messages: Sequence[Mapping[str, Any]],
    *,
    continues: bool,
    begins: bool | None = None,
    chat_template: str | None = None,
    tools: Any = None,
    documents: Any = None,
    **variables: Any,
) -> str:
    """Return the prompt of a chat.

    Without a folder, or without jinja2, which is needed to render templates, it contains one message per line.

    Args:
        facts: The facts of the model.
        messages: The messages of the chat.
        continues: Whether the answer continues the last message. Otherwise it is a new message.
        begins: Whether the prompt ends with the beginning of a new message. By default, if it does not continue one.
        chat_template: A template to use instead of the model's.
        tools: JSON schemas, or functions. The schema of a function has only its name and its docstring.
        documents: Documents, as dicts.
        variables: Further variables of the template.

    Raises:
        ValueError: The model's folder has no chat template, a tool is not valid, or the last message is not in the
            prompt.
        TypeError: A document is not a dict.
        Exception: jinja2 raised it, because the template does not accept these messages.
    """
    template = read_template(facts) if chat_template is None else chat_template
    if facts.folder is not None and template is None:
        raise ValueError("the tokenizer has no chat template, so it cannot render a chat")
    if len(messages) == 0:
        raise ValueError("a chat must have at least one message")
    chat = [_seen(message) for message in messages]
    if template is None or find_spec("jinja2") is None:
        return "\n".join(f"{message['role']}: {message.get('content', '')}" for message in chat)
    last = _mark_end(chat[-1], template) if continues else None
    prompt = _rendered(
        template,
        messages=chat,
        tools=None if tools is None else [_schema(tool) for tool in tools],
        documents=None if documents is None else [_document(document) for document in documents],
        add_generation_prompt=not continues if begins is None else begins,
        **{**_special_tokens(facts), **variables},
    )
    return prompt if last is None else _cut_at_end(prompt, last)


def _seen(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a message as a template sees it: without None values, its reasoning under each name."""
    plain = {key: list(map(_copied, value)) if isinstance(value, (list, tuple)) else value
             for key, value in message.items() if value is not None}  # fmt: skip
    reasoning = next((plain[key] for key in _REASONING if key in plain), None)
    return plain if reasoning is None else {"thinking": reasoning, **plain, "reasoning_content": reasoning}


def _copied(part: Any) -> Any:
    return dict(part) if isinstance(part, Mapping) else part


def _mark_end(message: dict[str, Any], template: str) -> str:
    """Mark the end of a message's text, and return the text."""
    content = message.get("content")
    if content is None:
        raise ValueError("the last message has no content, so it cannot be continued")
    if "content" not in template:
        raise ValueError("the chat template does not use the content, so it cannot be continued")
    if not isinstance(content, (list, tuple)):
        message["content"] = content + _END
        return str(content)
    part = next((part for part in reversed(content) if "text" in part), None)
    if part is None:
        raise ValueError("the last message has no text, so it cannot be continued")
    text: str = part["text"]
    part["text"] += _END
    return text


def _cut_at_end(prompt: str, text: str) -> str:
    """Return the prompt up to the end of the last message, without the tokens that close the message."""
    place = prompt.rfind(_END.strip())
    if place < 0 or text.strip() not in prompt:
        raise ValueError("the last message is not in the prompt, so it cannot be continued")
    return prompt[:place] if prompt.startswith(_END, place) else prompt[:place].rstrip()


def _schema(tool: Any) -> Any:
    if isinstance(tool, dict):
        return tool
    if not (isfunction(tool) or ismethod(tool)):
        raise ValueError(f"a tool must be a JSON schema or a function, found {tool!r}")
    return {"type": "function", "function": {"name": tool.__name__, "description": tool.__doc__ or ""}}


def _document(document: Any) -> Any:
    if not isinstance(document, dict):
        raise TypeError(f"a document must be a dict, found {document!r}")
    return document


def _special_tokens(facts: ModelFacts) -> dict[str, Any]:
    config = facts.read_file("tokenizer_config.json")
    named = {name: value for name, value in config.items() if name.endswith("_token")}
    return {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}


def _rendered(template: str, **variables: Any) -> str:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text, for training. Here it is replaced by that text."""

        tags = {"generation"}  # noqa: RUF012 - declared like this in jinja2

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, indent=None, **options: json.dumps(
        value, ensure_ascii=False, indent=indent, **options
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(template).render(**variables)
