"""The errors for a model that would have to be fetched while offline mode is on."""

from __future__ import annotations

from collections.abc import Sequence

from modelenv.environment.libraries import offline_variable
from modelenv.errors import ModelEnvError, ModelIntegrityError, ModelNotFoundError
from modelenv.files.links import broken_links
from modelenv.references import ModelRef
from modelenv.store.store import FoundModel, Store


def offline_error(
    store: Store, ref: ModelRef, found: FoundModel | None = None, lacking: Sequence[str] = ()
) -> ModelEnvError:
    """Return the error for a model that is missing or incomplete in the store.

    Args:
        store: The store that was searched.
        ref: The model.
        found: The incomplete model, or None if it is missing.
        lacking: The paths of the files that are missing or incomplete, if they are known.
    """
    variable = offline_variable()
    if found is None:
        return ModelNotFoundError(
            "not in the store, and offline mode is on, so it was not downloaded",
            model=ref.repo_id,
            tried=store.places(ref),
            hint=f"unset {variable}, or fill the store while the Hub can be reached",
        )
    broken = broken_links(found.path)
    if broken:
        target = broken[0].readlink()
        lacks = f"{broken[0]} is a link to {target}, which does not exist" + (
            f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        )
    else:
        lacks = f"in {found.path}, missing or incomplete: {', '.join(lacking)}"
    return ModelIntegrityError(
        "the model in the store is incomplete, and offline mode is on, so the rest was not downloaded",
        model=ref.repo_id,
        found=lacks,
        hint=f"unset {variable}, so that the rest is downloaded, or copy the whole folder of the model, "
        "with the blobs that its links lead to",
    )
