"""The call forms of the text-generation contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..contract import Args, Case, Contract
from ..structure import describe
from .architectures import architecture
from .inputs import BATCHES, Recorder, dataset, texts_in_every_form, wrong_inputs

FORMS = texts_in_every_form("the price of", "sarah lives in", "a")
USER = {"role": "user", "content": "What is new?"}
ASSISTANT = {"role": "assistant", "content": "Not much"}
SYSTEM = {"role": "system", "content": "Be brief."}
CHATS: dict[str, Any] = {
    "chat": lambda: [USER],
    "chat of three": lambda: [SYSTEM, USER, ASSISTANT],
    "chat that goes on": lambda: [USER, ASSISTANT, USER],
    "tuple of messages": lambda: (USER,),
    "list of chats": lambda: [[USER], [SYSTEM, USER]],
    "list of one chat": lambda: [[USER]],
    "tuple of chats": lambda: ([USER], [USER]),
    "generator of messages": lambda: (message for message in [USER]),
    "generator of chats": lambda: (chat for chat in [[USER], [USER, ASSISTANT]]),
    "dataset of chats": lambda: dataset([[USER]]),
    "list of a chat and a text": lambda: [[USER], "a"],
    "chat with more keys": lambda: [{**USER, "name": "Sarah"}],
    "chat without text": lambda: [{"role": "user", "content": None}],
    "chat with a number": lambda: [{"role": "user", "content": 1}],
    "chat with parts": lambda: [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    "chat with an empty text": lambda: [{"role": "user", "content": ""}],
    "unknown role": lambda: [{"role": "tool", "content": "a"}],
    "chat with half a message": lambda: [USER, {"role": "user"}],
    "list of an empty chat": lambda: [[USER], []],
}
FEW = {"max_new_tokens": 4}
CALLS: list[dict[str, Any]] = [
    *({"return_full_text": value, **FEW} for value in (True, False, None, "x")),
    *({"return_tensors": value, **FEW} for value in (True, False, "pt")),
    *({"return_text": value, **FEW} for value in (True, False)),
    *({"return_type": value, **FEW} for value in (1, "x", None)),
    {"return_full_text": True, "return_text": True},
    {"return_full_text": True, "return_tensors": True},
    {"return_text": True, "return_tensors": True},
    *({"num_return_sequences": value, **FEW} for value in (1, 3)),
    {"num_return_sequences": 3, "return_tensors": True, **FEW},
    {"num_return_sequences": 3, "do_sample": False, **FEW},
    {"num_return_sequences": 2, "num_beams": 2, "do_sample": False, **FEW},
    {"num_return_sequences": 3, "num_beams": 2, **FEW},
    *({"do_sample": value, **FEW} for value in (True, False)),
    *({"max_new_tokens": value} for value in (1, 2, 0, -1)),
    *({"max_length": value} for value in (40, 2, 0)),
    {"max_length": 40, "return_tensors": True},
    {"max_new_tokens": 3, "min_new_tokens": 3, "return_tensors": True},
    *({"temperature": value, **FEW} for value in (0.1, 1.0, 0.0, -1.0, 1, 2)),
    {"temperature": 0.0, "do_sample": False, **FEW},
    *({"top_k": value, **FEW} for value in (1, 0, -1, 5.0)),
    *({"top_p": value, **FEW} for value in (0.5, 1.0, -0.5)),
    *({"repetition_penalty": value, **FEW} for value in (1.2, 0.0, -1.0)),
    *({"handle_long_generation": value, **FEW} for value in ("hole", "x", None)),
    *({"prefix": value, **FEW} for value in ("once ", "")),
    *({"truncation": value, **FEW} for value in (True, "bogus")),
    *({"padding": value, **FEW} for value in (True, "bogus")),
    *({"add_special_tokens": value, **FEW} for value in (True, False)),
    *({"clean_up_tokenization_spaces": value, **FEW} for value in (True, False)),
    *({"skip_special_tokens": value, **FEW} for value in (True, False)),
    *({"stop_sequence": value, **FEW} for value in ("zzz", ["zzz"])),
    *({"continue_final_message": value, **FEW} for value in (True, False)),
    {"tokenizer_encode_kwargs": {"truncation": True, "max_length": 3}, "return_tensors": True, **FEW},
    {"early_stopping": "x", **FEW},
    *({"stop_strings": value, **FEW} for value in ("q", ["q"])),
    *({"stop_sequence": value, **FEW} for value in ([], 5)),
    *({"min_p": value, **FEW} for value in (0.1, -0.1, 2.0)),
    *({"typical_p": value, **FEW} for value in (0.5, 0.0)),
    *({"num_beams": value, **FEW} for value in (0, -1, None)),
    *({"num_return_sequences": value, **FEW} for value in (0, -1, None)),
    *({"bad_words_ids": value, **FEW} for value in ([[5]], [], [5], [[-1]])),
    *({"eos_token_id": value, **FEW} for value in (5, "x")),
    *({"cache_implementation": value, **FEW} for value in ("static", "x")),
    *({"prompt_lookup_num_tokens": 2, **FEW, **value} for value in ({}, {"batch_size": 2}, {"use_cache": False})),
    {"prompt_lookup_num_tokens": 2, "num_return_sequences": 2, **FEW},
    *({"penalty_alpha": 0.6, "do_sample": value, **FEW} for value in (True, False)),
    {"num_beams": 2, "num_beam_groups": 2, "do_sample": False, **FEW},
    {"force_words_ids": [[5]], **FEW},
    {"token_healing": True, **FEW},
    *({"max_new_tokens": value} for value in (2.0, True)),
    {"prefix": 5, **FEW},
    {"prefix": "once ", "max_length": 30, "return_tensors": True, "min_new_tokens": 3, "max_new_tokens": 3},
    {"handle_long_generation": "hole", "max_new_tokens": 1022, "min_new_tokens": 2},
    {"handle_long_generation": "hole", "max_new_tokens": 2000},
    {"unknown": 1},
    {"unknown": None, **FEW},
    *({**batch, **FEW} for batch in BATCHES),
    {"batch_size": 2, "return_tensors": True, **FEW},
]
BUILDS: list[dict[str, Any]] = [
    FEW,
    {**FEW, "return_full_text": False},
    {**FEW, "return_tensors": True},
    {**FEW, "num_return_sequences": 2},
    {**FEW, "do_sample": False},
    {**FEW, "batch_size": 2},
    {**FEW, "return_full_text": False, "return_tensors": True},
    {**FEW, "temperature": -1.0},
    {"max_length": 30, "return_tensors": True},
    {**FEW, "prefix": "once "},
    {**FEW, "unknown": 1},
]
CHAT_CALLS: list[dict[str, Any]] = [
    {"max_length": "x"},
    *({"tools": value} for value in ([], [{"type": "function", "function": {"name": "f"}}], "x")),
    *({"documents": value} for value in ([{"title": "a", "text": "b"}], ["x"])),
    {"tokenizer_encode_kwargs": {"chat_template": "{{ messages[0]['content'] }}"}},
    {"tokenizer_encode_kwargs": {"add_generation_prompt": True}},
    {"tokenizer_encode_kwargs": {"thinks": True}},
    *(
        {"tokenizer_encode_kwargs": {"tokenizer_kwargs": value}}
        for value in (
            {"truncation": True, "max_length": 8},
            {"padding": True},
            {"add_special_tokens": False},
            {"return_tensors": "pt"},
            {"return_attention_mask": False},
            {},
            None,
        )
    ),
]
EXACTLY = {"max_new_tokens": 4, "min_new_tokens": 4}
STREAMED: list[dict[str, Any]] = [
    {},
    {"return_tensors": True},
    {"return_full_text": False},
    {"batch_size": 2},
    {"num_return_sequences": 2},
    {"num_return_sequences": 2, "batch_size": 2},
    *({"num_beams": 2, "do_sample": value} for value in (True, False)),
    {"num_beams": 2, "num_return_sequences": 2},
    {"do_sample": False},
    {"prefix": "once "},
    {"max_new_tokens": 1, "min_new_tokens": 1},
]


def _describe(answer: Any, case: Case) -> str:
    made = case.make()
    kwargs = {**case.build, **case.call}

    def override(value: Any) -> str | None:
        if isinstance(value, dict) and list(value) == ["generated_text"]:
            text = value["generated_text"]
            if isinstance(text, str):
                whole = isinstance(made, str) and text.startswith(made)
                return f"{{generated_text: str starts with the prompt={whole}}}"
            return f"{{generated_text: {_messages(text, made)}}}"
        if isinstance(value, dict) and list(value) == ["generated_token_ids"]:
            ids = value["generated_token_ids"]
            # A real model can end earlier, but not with a single sequence of a minimum length.
            exact = f" of {len(ids)}" if "min_new_tokens" in kwargs else ""
            return f"{{generated_token_ids: {type(ids).__name__} of {type(ids[0]).__name__}{exact}}}"
        return None

    found = describe(answer, override)
    streamer = kwargs.get("streamer")
    return found if streamer is None else f"{found} streamed: {streamer.heard()}"


def _messages(messages: list[dict[str, Any]], made: Any) -> str:
    kept = isinstance(made, (list, tuple)) and len(messages) >= len(made)
    before = list(made)[:-1] if kept else []
    return (
        describe(messages)
        + f" keeps the chat={kept and messages[: len(before)] == before} "
        + " ".join(str(message["role"]) for message in messages)
    )


TEMPLATES = {
    "a template that marks generations": (
        "{% for m in messages %}{{ m['role'] }}:{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    ),
    "a template that trims": "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{{ eos_token }}{% endfor %}",
    "a template that refuses": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages }}"
    ),
}
OTHERS = {
    kind: architecture(kind, "AutoModelForCausalLM", bos_token_id=0, eos_token_id=2, pad_token_id=0)
    for kind in ("gpt2", "bart")
}


def chat_of_transformers(messages: list[dict[str, Any]]) -> Any:
    from transformers.utils.chat_template_utils import Chat

    return Chat(messages)


def _with_template(text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")

    return edit


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _without_padding(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('  "pad_token": "<|endoftext|>",\n', ""), encoding="utf-8")


def _cases() -> list[Case]:
    cases = [Case(name, make, FEW) for name, make in {**FORMS, **wrong_inputs(), **CHATS}.items()]
    cases += [Case(f"{form} | {call}", FORMS[form], call) for call in CALLS for form in ("text", "list")]
    cases += [
        Case(f"{form} | {call}", CHATS[form], call) for call in CALLS[:22] for form in ("chat", "chat of three")
    ]
    cases += [Case(f"{form} | {value}", CHATS[form], {"continue_final_message": value, **FEW})
              for form in CHATS for value in (True, False)]  # fmt: skip
    cases += [Case(f"{form} built with {b}", FORMS[form], build=b) for b in BUILDS
              for form in ("text", "list", "generator")]  # fmt: skip
    cases += [Case(f"{method} {form}", FORMS[form], method=method, build=FEW)
              for method in ("predict", "transform") for form in ("text", "list")]  # fmt: skip
    cases += [
        Case(f"no template | {form}", CHATS[form], FEW, variant="no template") for form in ("chat", "list of chats")
    ]
    cases += [
        Case(f"{form} | {call}", CHATS[form], {**call, **FEW})
        for form in ("chat", "chat of three", "chat that goes on")
        for call in CHAT_CALLS
    ]
    cases += [
        Case(f"{template} | {form}", CHATS[form], FEW, variant=template)
        for template in TEMPLATES
        for form in ("chat", "chat of three", "chat with parts", "list of chats")
    ]
    cases += [Case(f"{name} | {kind}", make, FEW, variant=kind) for kind in OTHERS
              for name, make in {**FORMS, "too long": lambda: "the price of bitcoin " * 40}.items()
              if name in ("text", "list", "too long")]  # fmt: skip
    cases += [
        Case(f"{form} streamed | {call}", {**FORMS, **CHATS}[form], {**EXACTLY, **call, "streamer": Recorder()})
        for form in ("text", "list", "chat")
        for call in STREAMED
    ]
    cases += [
        Case("no streamer", FORMS["text"], {**FEW, "streamer": None}),
        Case("something else as a streamer", FORMS["text"], {**FEW, "streamer": 3}),
        Case("built with a streamer", FORMS["text"], EXACTLY, {"streamer": Recorder("of a pipeline")}),
        Case("generator streamed", FORMS["generator"], {**EXACTLY, "streamer": Recorder()}),
        Case("empty text streamed", lambda: "", {**EXACTLY, "streamer": Recorder()}),
        Case("chat of transformers", lambda: chat_of_transformers([USER]), FEW),
        Case("list of chats of transformers", lambda: [chat_of_transformers([USER])], FEW),
        Case("no template | text", FORMS["text"], FEW, variant="no template"),
        Case("no padding | text", FORMS["text"], FEW, variant="no padding"),
        Case("no padding | list", FORMS["list"], FEW, variant="no padding"),
        Case("no padding | batch", FORMS["list"], {**FEW, "batch_size": 2}, variant="no padding"),
        Case("empty text", lambda: "", FEW),
        Case("empty text, tokens", lambda: "", {**FEW, "return_tensors": True}),
        Case("list with an empty text", lambda: ["", "a"], FEW),
        Case("batch with an empty text", lambda: ["a", ""], {**FEW, "batch_size": 2}),
        Case("batch of empty texts", lambda: ["", ""], {**FEW, "batch_size": 2}),
        Case("marks and letters", lambda: "Ünïcödé 😀 can't", FEW),
        Case("lone surrogate", lambda: "\ud800", FEW),
        Case("by name", lambda: Args(text_inputs="a"), FEW),
        Case("by a name of the base class", lambda: Args(inputs="a"), FEW),
        Case("two by position", lambda: Args("a", "b"), FEW),
    ]
    return cases


CONTRACT = Contract(
    "text-generation",
    tuple(_cases()),
    describe=_describe,
    variants={
        "no template": _without_template,
        "no padding": _without_padding,
        **{name: _with_template(text) for name, text in TEMPLATES.items()},
        **OTHERS,
    },
)
