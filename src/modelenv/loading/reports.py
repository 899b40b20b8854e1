"""Reports about loads and managers, as values of plain types."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from modelenv.amounts import counted, size_text


@dataclass(frozen=True)
class LoadReport:
    """The result of one load of a real model. `str()` formats it as a sentence.

    Attributes:
        repo_id: The model, as `organisation/name`, with `@revision` unless it is the default branch.
        task: The task of the pipeline.
        source: The source of the files, as the value of a `ModelSource`.
        fetched: Whether this load downloaded files from the Hub.
        files: The number of files in the snapshot if `fetched`, else 0.
        bytes: The number of bytes received from the Hub.
        requests: The number of HTTP requests to the Hub.
        fetch_seconds: The time to find, download and verify the files, in seconds of wall time.
        load_seconds: The time to build the pipeline, in seconds of wall time. The first load of a process includes
            the import of torch and transformers.
        hosted: Whether the pipeline runs in a model host instead of this process.
        error: The summary of the error if the load failed, else None.
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
        """Return the report as a sentence for a log."""
        what = f"{self.repo_id} for {self.task} from {self.source}"
        if self.error is not None:
            return f"could not load {what}: {self.error}"
        amounts = (counted(self.files, "file"), size_text(self.bytes), counted(self.requests, "request"))
        fetched = f" after fetching it in {self.fetch_seconds:.1f} s ({', '.join(amounts)})" if self.fetched else ""
        where = " into the model host" if self.hosted else ""
        return f"loaded {what}{where} in {self.load_seconds:.1f} s{fetched}"


@dataclass(frozen=True)
class Notice:
    """A statement about a model for the summary of a test run, other than a load.

    Attributes:
        model: The model's name.
        text: The statement, without the model's name.
    """

    model: str
    text: str


@dataclass(frozen=True)
class ModelStatus:
    """The status of one model of a manager.

    Attributes:
        repo_id: The model's repo id.
        revision: The requested revision, or None for the default branch.
        task: The task of the pipeline.
        state: `ready` or `loading`.
        stage: The current step of the load, such as `fetching its files`.
    """

    repo_id: str
    revision: str | None
    task: str
    state: str
    stage: str


@dataclass(frozen=True)
class ManagerStatus:
    """The status of a manager at one moment, for a health endpoint.

    Attributes:
        environment: The source that models come from, as the value of a `ModelSource`.
        reason: The reason why this source applies.
        root: The folder that contains the models, or None for a source without a folder.
        models: The models that are loaded or loading.
    """

    environment: str
    reason: str
    root: str | None
    models: tuple[ModelStatus, ...]

    @property
    def ready(self) -> bool:
        """Whether no model is still loading."""
        return all(model.state == "ready" for model in self.models)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as plain types that can be encoded as JSON, with `ready`."""
        return {**asdict(self), "models": [asdict(model) for model in self.models], "ready": self.ready}
