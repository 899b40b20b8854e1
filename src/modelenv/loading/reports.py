"""What loads did and what a manager holds, as values of plain types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from modelenv.amounts import counted, size_text


@dataclass(frozen=True)
class LoadReport:
    """One real load of a model.

    Attributes:
        repo_id: the model.
        task: the pipeline's task.
        source: the value of the `ModelSource` it came from.
        fetched: whether files came from the Hub in this load.
        files: files of the snapshot, if it was fetched; 0 from a cache.
        bytes: bytes received from the Hub.
        requests: HTTP requests made to the Hub.
        fetch_seconds: wall time to find, fetch and verify the files.
        load_seconds: wall time to build the pipeline, with the import of transformers if it was the first.
        hosted: whether the pipeline is in a model host, and not in this process.
        error: the error's first line if the load failed, else None.
    """

    repo_id: str
    task: str
    source: str
    fetched: bool = False
    files: int = 0
    bytes: int = 0
    requests: int = 0
    fetch_seconds: float = 0.0
    load_seconds: float = 0.0
    hosted: bool = False
    error: str | None = None

    def __str__(self) -> str:
        """Return the report as a sentence, for a log."""
        what = f"{self.repo_id} for {self.task} from {self.source}"
        if self.error is not None:
            return f"could not load {what}: {self.error}"
        amounts = (counted(self.files, "file"), size_text(self.bytes), counted(self.requests, "request"))
        fetched = f" after fetching it in {self.fetch_seconds:.1f} s ({', '.join(amounts)})" if self.fetched else ""
        where = " into the model host" if self.hosted else ""
        return f"loaded {what}{where} in {self.load_seconds:.1f} s{fetched}"


@dataclass(frozen=True)
class Notice:
    """What the summary of a test run should say about a model, other than its loads.

    Attributes:
        model: The model's name.
        text: A statement about the model, without its name.
    """

    model: str
    text: str


@dataclass(frozen=True)
class ModelStatus:
    """One model of a manager: `state` is `ready` or `loading`, `stage` what a load is doing."""

    repo_id: str
    revision: str | None
    task: str
    state: str
    stage: str


@dataclass(frozen=True)
class ManagerStatus:
    """What a manager holds at one moment, made for a health endpoint.

    Attributes:
        environment: the value of the `ModelSource`.
        reason: why it applies.
        root: the folder of the models, or None.
        models: the models loaded or loading.
    """

    environment: str
    reason: str
    root: str | None
    models: tuple[ModelStatus, ...]

    @property
    def ready(self) -> bool:
        """Whether no load is under way."""
        return all(model.state == "ready" for model in self.models)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {**asdict(self), "models": [asdict(model) for model in self.models], "ready": self.ready}
