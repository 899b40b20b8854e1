"""The five model sources."""

from __future__ import annotations

from enum import StrEnum

from modelenv.errors import ConfigurationError

VOLUME_METADATA = "model-metadata.yaml"


class ModelSource(StrEnum):
    """Where a model comes from."""

    PERSISTENT_VOLUME = "persistent_volume"
    MOCK_MODELS = "mock_models"
    DOWNLOAD_ON_DEMAND = "download_on_demand"
    LOCAL_CACHE = "local_cache"
    HUGGINGFACE_HUB = "huggingface_hub"

    @classmethod
    def parse(cls, value: ModelSource | str) -> ModelSource:
        """Return the source for `value`, a `ModelSource` or its value as text.

        Raises:
            ConfigurationError: The source is unknown; the message lists the valid ones.
        """
        try:
            return cls(value.strip().lower() if isinstance(value, str) else value)
        except ValueError:
            raise ConfigurationError(
                "unknown model source",
                expected="one of " + ", ".join(source.value for source in cls),
                found=repr(value),
                hint="correct MODEL_SOURCE, or the option or argument that names the source",
            ) from None

    @property
    def timeout(self) -> float:
        """The seconds that one load may take, unless the timeout is set."""
        return _TIMEOUTS[self]

    @property
    def downloads(self) -> bool:
        """Whether a missing model is downloaded from the Hub."""
        return self not in (ModelSource.PERSISTENT_VOLUME, ModelSource.MOCK_MODELS)


_TIMEOUTS = {
    ModelSource.PERSISTENT_VOLUME: 30.0,
    ModelSource.MOCK_MODELS: 1.0,
    ModelSource.DOWNLOAD_ON_DEMAND: 300.0,
    ModelSource.LOCAL_CACHE: 60.0,
    ModelSource.HUGGINGFACE_HUB: 300.0,
}
