"""Chooses a fake's tokenizer: its model's own, or words. Knows which real tokenizers return no offsets."""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from modelenv.fakes.model.text_tokenizers import FileTokenizer, TextTokenizer, WordTokenizer

if TYPE_CHECKING:
    from modelenv.fakes.model.facts import ModelFacts

_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA = {**_BERT, "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>"}
_USES_ANGLES = re.compile("roberta|camembert|bart|xlm|longformer|esm|mpnet", re.IGNORECASE)
_CANINE = {
    "bos_token": "\ue000", "cls_token": "\ue000", "eos_token": "\ue001", "sep_token": "\ue001", "pad_token": "\0",
    "mask_token": "\ue003", "model_max_length": 2048,
}  # fmt: skip
# The tokenizers of transformers 5.24 that are written in Python or use sentencepiece. They return no offsets.
_SLOW = frozenset(
    """
    Bartpho BertGeneration BertJapanese Bertweet BioGpt BlenderbotSmall ByT5 CTRL Canine Clvp Cpm CpmAnt Dia Esm FSMT
    FastSpeech2Conformer Flaubert GPTNeoXJapanese GPTSw3 M2M100 Marian Mgpstr MyT5 PLBart Perceiver Phobert Pop2Piano
    ProphetNet RoCBert Siglip Speech2Text SpeechT5 Tapas Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC XLM
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)
# The kinds of models that have one of these if no class is named.
_SLOW_KINDS = frozenset(
    """
    bartpho bert-generation bert-japanese bertweet biogpt blenderbot-small byt5 canine clvp cpm cpmant ctrl
    data2vec-audio dia esm flaubert fsmt gpt-sw3 gpt_neox_japanese hubert m2m_100 marian mgp-str myt5 perceiver
    phobert plbart
    prophetnet roc_bert speech_to_text speecht5 tapas unispeech unispeech-sat vits wav2vec2 wav2vec2-bert
    wav2vec2-conformer wav2vec2_phoneme xlm
    """.split()  # noqa: SIM905 - a list with one name per line would fill a page
)


def read_tokenizer(facts: ModelFacts) -> TextTokenizer:
    """Return the tokenizer in the model's folder, or one of words if the folder, file or `tokenizers` is missing."""
    tokenizer = _read(facts)
    tokenizer.is_fast = not is_slow(facts)
    return tokenizer


def _read(facts: ModelFacts) -> TextTokenizer:
    path = None if facts.folder is None else facts.folder / "tokenizer.json"
    if path is not None and path.is_file() and find_spec("tokenizers") is not None:
        config = {**facts.read_file("special_tokens_map.json"), **facts.read_file("tokenizer_config.json")}
        return FileTokenizer(path.read_text(encoding="utf-8"), config)
    if class_of(facts) == "Canine":
        return CharacterTokenizer(facts.read_file("tokenizer_config.json"))
    kind = f"{facts.config.get('model_type', '')} {facts.name}"
    names = {**_ROBERTA, "mask_token": "<mask>"} if _USES_ANGLES.search(kind) else _BERT
    return WordTokenizer({**names, **facts.read_file("tokenizer_config.json")}, facts.config.get("vocab_size", 30522))


def class_of(facts: ModelFacts) -> str | None:
    """Return the class of the model's tokenizer without its ending `Tokenizer`, or None if no file names it."""
    name = facts.read_file("tokenizer_config.json").get("tokenizer_class") or facts.config.get("tokenizer_class")
    if isinstance(name, str):
        return name.removesuffix("Tokenizer")
    return "Canine" if facts.config.get("model_type") == "canine" else None


def is_slow(facts: ModelFacts) -> bool:
    """Whether the model's tokenizer is one that returns neither offsets nor the words of its tokens."""
    name = class_of(facts)
    return facts.config.get("model_type") in _SLOW_KINDS if name is None else name in _SLOW


class CharacterTokenizer(WordTokenizer):
    """The tokenizer of CANINE, which needs no file. Each character is a token, and its code point is the id."""

    is_wordpiece = False
    _parts = re.compile(".", re.DOTALL)

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__({**_CANINE, **config}, sys.maxunicode + 1)

    def id_of(self, token: str) -> int | None:
        """Return the code point of a character, or None for a longer text."""
        return ord(token) if len(token) == 1 else None

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of these code points."""
        text = map(chr, ids)
        return "".join(each for each in text if not (skip_special and each in self.special.values()))

    def join(self, tokens: Sequence[str]) -> str:
        """Return the text of these tokens."""
        return "".join(tokens)

    def choices(self) -> Sequence[int]:
        """Return the ids that an answer can consist of."""
        return [*map(ord, string.ascii_lowercase)]
