"""The fake of `DocumentQuestionAnsweringPipeline` (`transformers/pipelines/document_question_answering.py`, 5.24)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelenv.errors import ConfigurationError
from modelenv.fakes import seeded
from modelenv.fakes.chunked import FakeChunkPipeline
from modelenv.fakes.media import Image, Seen, as_predicate, read_image
from modelenv.fakes.model.text_tokenizers import FileTokenizer
from modelenv.fakes.scripting import When
from modelenv.fakes.text.tokenized_inputs import tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized

_NOTHING = object()
_PARAMETERS = ("top_k", "max_answer_len", "handle_impossible_answer", "padding", "max_question_len", "max_seq_len",
               "doc_stride")  # fmt: skip
_PADDING = ("longest", "max_length", "do_not_pad", True, False)
_PLACES = 1024  # the horizontal and vertical positions on a page, of LayoutLM and similar models
_WORDS_OF_AN_IMAGE = 12  # if the call has no word_boxes


class WhenAsked(When):
    """A rule for a model that answers questions about documents."""

    def returns(self, answer: str, score: float = 0.95, start: int = 0, end: int | None = None) -> None:
        """Answer every matching question with this text. It is the first of several answers.

        Args:
            answer: The text of the answer.
            score: The score, from 0 to 1.
            start: The index of its first word in the document.
            end: The index of its last word. By default, it follows from the number of words.

        Raises:
            ConfigurationError: The score is not in [0, 1].
        """
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise ConfigurationError(
                "the score of an answer must be a probability",
                expected="a number from 0 to 1",
                found=repr(score),
                hint='write fake.when("invoice number").returns("us-001", 0.9)',
            )
        last = start + max(1, len(answer.split())) - 1 if end is None else end
        self._add({"score": float(score), "answer": answer, "start": start, "end": last})


class FakeDocumentQuestionAnsweringPipeline(FakeChunkPipeline):
    """Answers a question with words of the document, the best answer first.

    The words are passed in the call (`word_boxes`). Without them the real pipeline reads the image with Tesseract.
    The fake does not read it, and uses other words. A Donut model returns only a text.
    """

    __slots__ = ()

    @classmethod
    def default_config(cls, task: str) -> Mapping[str, Any]:
        """Return the model type of impira/layoutlm-document-qa, transformers' default model for the task."""
        return {"model_type": "layoutlm"}

    def when(self, pattern: Any) -> WhenAsked:
        """Start a rule: `fake.when("invoice number").returns("us-001", 0.9)`.

        Args:
            pattern: A part of the question or of the image's path, a compiled regular expression, a function of
                the input as a dict, or an image with the same content. The later of two matching rules wins.
        """
        return WhenAsked(self._script, as_predicate(pattern))

    def _answer(
        self, image: Any = _NOTHING, question: Any = None, word_boxes: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if image is _NOTHING or args:
            raise TypeError("the call takes an image, a question and word_boxes")
        if not isinstance(question, str):
            return self._run(image, **kwargs)
        inputs = {"question": question, "image": image}
        if word_boxes is not None:
            inputs["word_boxes"] = word_boxes
        return self._run(inputs, **kwargs)

    def _read_parameters(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        parameters = {name: kwargs[name] for name in _PARAMETERS if kwargs.get(name) is not None}
        for name in ("top_k", "max_answer_len"):
            if parameters.get(name, 1) < 1:
                raise ValueError(f"{name} must be at least 1, found {parameters[name]}")
        return parameters

    def _one(
        self,
        item: Any,
        /,
        *,
        top_k: Any = 1,
        max_answer_len: Any = 15,
        handle_impossible_answer: Any = False,
        padding: Any = "do_not_pad",
        max_seq_len: Any = None,
        doc_stride: Any = None,
    ) -> Any:
        given = item.get("image", None)
        image = None if given is None else read_image(given)
        donut = self._facts.config.get("model_type") == "vision-encoder-decoder"
        words = [] if donut else self._words(item, image)
        question = item["question"]
        if not donut:
            question.split()  # Python's own AttributeError if it is not a text
            if not all(isinstance(word, str) for word in words):
                raise ValueError("a word of word_boxes must be a text")
            self._tokens(question, words, padding, max_seq_len, doc_stride)
        if padding not in _PADDING:
            raise ValueError(f"padding must be a bool, longest, max_length or do_not_pad, found {padding!r}")
        digest = b"" if image is None else image.digest
        names = () if image is None else image.names
        seen = Seen(item, (str(question), *names), (digest,))
        scripted = self._script.find((seen,))  # type: ignore[arg-type]
        if donut:
            text = " ".join(seeded.words(2, self._facts.name, question, digest))
            return [{"answer": text if scripted is None else scripted["answer"]}]
        if type(top_k) not in (int, bool):
            raise TypeError(f"top_k must be a whole number, found {top_k!r}")
        answers = self._answers(words, question, digest, max_answer_len)
        if handle_impossible_answer:
            answers.append({"score": 1e-4, "answer": "", "start": 0, "end": 0})
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        if scripted is not None:
            answers.insert(0, dict(scripted))
        return answers[:top_k]

    def _batch(self, items: list[Any], /, **parameters: Any) -> list[Any]:
        """Answer a batch. As in the real pipeline, documents of different lengths cannot be in one batch."""
        answers = super()._batch(items, **parameters)
        layout = [parameters.get(name) for name in ("padding", "max_seq_len", "doc_stride")]
        widths = set()
        for item in items:
            words = [pair[0] for pair in item.get("word_boxes", ())]
            widths |= {len(row) for row in self._tokens(item["question"], words, *layout)}
        if len(widths) > 1:
            raise ValueError(
                "documents of different lengths cannot be in one batch: pass padding='max_length' or batch_size=1"
            )
        return answers

    def _tokens(
        self, question: str, words: list[str], padding: Any, max_seq_len: Any, doc_stride: Any
    ) -> Sequence[Sized]:
        """Return the tokens of each part of a document. Without the model's folder, they are its characters."""
        tokenizer = self._tokenizer_of_model()
        if not isinstance(tokenizer, FileTokenizer):
            return ["1" * (len(question) + sum(map(len, words)))] if padding != "max_length" else []
        longest = tokenizer.model_max_length if max_seq_len is None else max_seq_len
        return tokenize(
            tokenizer,
            question.split(),
            words,
            return_tensors=None,
            is_split_into_words=True,
            padding="do_not_pad" if padding is None else padding,
            truncation="only_second",
            max_length=longest,
            stride=min(longest // 2, 256) if doc_stride is None else doc_stride,
            return_overflowing_tokens=True,
        ).rows

    def _words(self, item: Mapping[str, Any], image: Image | None) -> list[Any]:
        if "word_boxes" in item:
            words = [pair[0] for pair in item["word_boxes"]]
            positions = self._facts.config.get("max_2d_position_embeddings", _PLACES)
            for box in [pair[1] for pair in item["word_boxes"]]:
                _check_box(box, positions)
            return words
        if image is None:
            raise ValueError("pass an image, or word_boxes, or both")
        return list(seeded.words(_WORDS_OF_AN_IMAGE, self._facts.name, image.digest))

    def _answers(self, words: list[str], question: str, digest: bytes, longest: Any) -> list[dict[str, Any]]:
        """Return the spans of at most `longest` words as answers, each with a probability."""
        spoken = [index for index, word in enumerate(words) if word]
        spans = [(start, end) for start in spoken for end in spoken if start <= end < start + longest]
        if not spans:
            return []
        outputs = seeded.logits(len(spans), self._facts.name, question, digest, *words)
        scores = seeded.softmax(outputs)
        found = [
            {"score": score, "answer": " ".join(words[start : end + 1]), "start": start, "end": end}
            for score, (start, end) in zip(scores, spans, strict=True)
        ]
        return sorted(found, key=lambda answer: -answer["score"])


def _check_box(box: Any, positions: int) -> None:
    if len(box) != 4:
        raise ValueError(f"a box must have four numbers, found {box!r}")
    if not all(isinstance(value, int) for value in box):
        raise RuntimeError(f"the numbers of a box must be whole numbers, found {box!r}")
    left, top, right, bottom = box
    if not all(0 <= value < positions for value in (*box, right - left, bottom - top)):
        raise IndexError(f"the numbers of a box must be from 0 to {positions - 1}, found {box!r}")
