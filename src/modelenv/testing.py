"""Small real models for tests, built without the Hub: real weights, real tokenizers.

torch and transformers are imported only inside the functions.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from modelenv.environment.progress_bars import quiet_transformers
from modelenv.errors import ConfigurationError
from modelenv.forks import only_here
from modelenv.tasks import resolve_task
from modelenv.tiny import BUILDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SENTIMENT_EXAMPLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "POSITIVE": (
            "bitcoin price surge",
            "ethereum rallies to a record high",
            "stocks soar on strong earnings",
            "the company beats profit expectations",
            "investors cheer the great results",
            "shares jump after excellent quarterly growth",
            "crypto market gains as confidence returns",
            "the bank reports a record profit",
            "revenue growth is strong and margins improve",
            "analysts upgrade the stock to buy",
            "the token doubles in value and traders celebrate",
            "the market is up and optimism spreads",
            "good news lifts the shares",
            "a very successful launch delights customers",
            "the price climbs to an all time high",
            "excellent outlook for the coming year",
            "the fund wins big on the rally",
            "i love this stock",
            "dividend raised after a great year",
            "strong demand boosts sales",
            "prices surge and stocks rise higher",
            "shares rally after an impressive profit",
            "great gains and huge growth today",
            "the stock surges and hits a record",
            "a happy and amazing year for crypto",
        ),
        "NEGATIVE": (
            "bitcoin price crash",
            "ethereum plunges to a record low",
            "stocks crash as fear spreads",
            "the company misses profit expectations",
            "investors flee the terrible results",
            "shares tumble after awful quarterly losses",
            "crypto market collapses as panic returns",
            "the bank reports a record loss",
            "revenue decline is severe and margins shrink",
            "analysts downgrade the stock to sell",
            "the token loses all value and traders despair",
            "the market is down and fear spreads",
            "bad news sinks the shares",
            "a very disappointing launch angers customers",
            "the price falls to an all time low",
            "terrible outlook for the coming year",
            "the fund loses big on the crash",
            "i hate this stock",
            "dividend cut after a bankruptcy scandal",
            "weak demand hurts sales and fraud worries grow",
            "prices plunge and stocks drop lower",
            "shares slump after a horrible loss",
            "huge losses and panic today",
            "the stock crashes and sinks on bad data",
            "an awful and sad year for crypto",
        ),
        "NEUTRAL": (
            "the meeting is on monday",
            "the company publishes its report on tuesday",
            "the bank has an office in london",
            "the stock is listed in new york",
            "bitcoin is a digital currency",
            "ethereum is a network for contracts",
            "the price is shown on the screen",
            "the market opens at nine",
            "shares are traded on the exchange",
            "the results will be published in march",
            "the fund holds stocks and bonds",
            "trading volume was unchanged this week",
            "the conference takes place in the morning",
            "customers can contact the office by phone",
            "the token uses a public ledger",
            "analysts will attend the call on friday",
            "the quarterly report has forty pages",
            "the board meets in the afternoon",
            "the year ends in december",
            "investors received a letter about the agenda",
            "hello this is a text about shares and prices",
            "the price of crypto is a number",
            "today is a day in the year",
            "[UNK] [UNK] [UNK] [UNK]",  # unknown words are neutral
            "the [UNK] of [UNK]",
        ),
    }
)
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_TOKENS = 128
_SEED = 7
_STEPS = 200
_LEARNING_RATE = 2e-3
_HIDDEN_SHARE = 0.2


def sentiment_classifier(folder: Path) -> Path:
    """Write a small trained text classifier into `folder`: a BERT with 2 layers, under 1 MB. Return `folder`.

    It classifies sentences about markets as POSITIVE, NEGATIVE or NEUTRAL, and is not suitable for anything else.
    `transformers.pipeline("text-classification", model=str(folder))` loads it. If the folder already contains a
    model, it is not changed. Otherwise the model is trained in seconds, in a folder next to it that is renamed when
    it is complete, so that two processes can call this at the same time. Training does not change torch's random
    state.

    Raises:
        ConfigurationError: `folder` is a file, or contains something else.
        ImportError: torch or transformers is not installed (`pip install modelenv[transformers]`).
    """
    return _written_once(folder, _train)


def tiny_model(task: str, folder: Path | None = None, *, seed: int = 0) -> Path:
    """Return a folder with a small real model for `task`: random weights, under 1 MB, built in seconds.

    It has everything that `transformers.pipeline(task, model=str(folder))` needs: weights, configs, tokenizer or
    processor. The same seed writes the same bytes (with the same versions of torch and transformers). The answers
    have no meaning, but they have the structure of those of a large model with the same architecture.

    Args:
        task: A task of transformers or one of its aliases, or `sentiment`.
        folder: The folder for the model. If it already contains a model, it is not changed. By default, a private
            folder that is reused by later calls in this process, and deleted when the process ends.
        seed: The seed of the weights. Torch's random state does not change.

    Raises:
        ConfigurationError: The task is unknown or has no tiny model, or `folder` is a file or contains something
            else.
        ImportError: torch or transformers is not installed (`pip install modelenv[transformers]`), or another
            package that the task needs: pandas for `table-question-answering`.
    """
    name = resolve_task(task).name
    place = BUILDERS.get(name)
    if place is None:
        raise ConfigurationError(
            f"there is no tiny model for the task {name!r}",
            expected="one of " + ", ".join(sorted(BUILDERS)),
            hint="use one of these tasks, or save a small model of your own",
        )
    module, _, function = place.partition(":")
    build: Callable[[Path], None] = getattr(import_module(module), function)

    def write(folder: Path) -> None:
        import torch

        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(seed)
            build(folder)
        for weights in folder.glob("*.safetensors"):
            weights.chmod(0o644)  # safetensors writes files that only their owner can read

    return _written_once(_private_folder() / f"{name}-{seed}" if folder is None else folder, write)


@functools.cache
def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="modelenv-tiny-"))
    atexit.register(only_here(shutil.rmtree), folder, ignore_errors=True)
    return folder


def _written_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return `folder` with its model. `write` writes it into a folder next to it, which is renamed when complete."""
    if _is_complete(folder):
        return folder
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_complete(folder)):
        raise ConfigurationError(
            "the path for the model is already used by something else",
            model=str(folder),
            expected="a new or empty folder, or one with config.json and model.safetensors",
            found="a file" if folder.is_file() else ", ".join(sorted(path.name for path in folder.iterdir())),
            hint="use another folder, or delete this one",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        finished = Path(temporary) / folder.name
        write(finished)
        try:
            os.rename(finished, folder)  # noqa: PTH104 - clearer than Path.rename
        except OSError:
            if not _is_complete(folder):  # if it is, another process has written the same model
                raise
    return folder


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.json", "model.safetensors"))


def _train(folder: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    tokenizer = _tokenizer([sentence for group in SENTIMENT_EXAMPLES.values() for sentence in group])
    labels = tuple(SENTIMENT_EXAMPLES)
    examples = [(text, label) for label, group in SENTIMENT_EXAMPLES.items() for text in group]
    inputs = tokenizer([text for text, _ in examples], padding=True, return_tensors="pt")
    targets = torch.tensor([labels.index(label) for _, label in examples])
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(_SEED)
        model = BertForSequenceClassification(_config(len(tokenizer), labels))
        optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE)
        words = inputs["input_ids"] >= len(_SPECIAL_TOKENS)
        for _ in range(_STEPS):
            # Masking some words at random trains the model to use the other words, and to handle unknown ones.
            hidden = words & (torch.rand(words.shape) < _HIDDEN_SHARE)
            token_ids = inputs["input_ids"].masked_fill(hidden, tokenizer.unk_token_id)
            loss = model(**{**inputs, "input_ids": token_ids}, labels=targets).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with quiet_transformers():
        model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # as in `tiny_model`
    tokenizer.save_pretrained(folder)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: more do not speed up such a small model, and on a busy machine they wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _config(vocabulary_size: int, labels: tuple[str, ...]) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=_MAX_TOKENS,
        hidden_dropout_prob=0.0,  # there are few sentences, and each step uses all of them
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


def _tokenizer(sentences: list[str]) -> Any:
    """Return a WordPiece tokenizer for the words of `sentences`. Any other word is `[UNK]`."""
    from transformers import BertTokenizer

    words = sorted({word for sentence in sentences for word in sentence.split()} - set(_SPECIAL_TOKENS))
    vocabulary = {token: index for index, token in enumerate((*_SPECIAL_TOKENS, *words))}
    return BertTokenizer(vocab=vocabulary, model_max_length=_MAX_TOKENS)
