"""The valid values of `expand` for a repository's info, by type, as in the Hub's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelenv.hub.repos.repository import RepoType

_OF_ALL = {
    "author", "cardData", "createdAt", "disabled", "lastModified", "likes", "private", "resourceGroup", "sha",
    "siblings", "tags", "trendingScore", "usedStorage",
}  # fmt: skip
_OF_MODELS = {
    "baseModels", "childrenModelCount", "config", "downloads", "downloadsAllTime", "evalResults", "gated", "gguf",
    "inference", "inferenceProviderMapping", "library_name", "mask_token", "model-index", "pipeline_tag",
    "safetensors", "spaces", "transformersInfo", "widgetData",
}  # fmt: skip
_OF_DATASETS = {
    "citation", "description", "downloads", "downloadsAllTime", "gated", "mainSize", "paperswithcode_id",
}  # fmt: skip
_OF_SPACES = {"datasets", "models", "region", "runtime", "sdk", "subdomain"}

# Some are unknown for a folder. They are accepted, and omitted from the response.
EXPANDABLE: Mapping[RepoType, frozenset[str]] = {
    "model": frozenset(_OF_ALL | _OF_MODELS),
    "dataset": frozenset(_OF_ALL | _OF_DATASETS),
    "space": frozenset(_OF_ALL | _OF_SPACES),
}
