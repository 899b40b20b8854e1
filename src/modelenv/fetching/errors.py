"""What went wrong in `huggingface_hub`, as one of our errors: the cause, and what to do about it."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from typing import Any

from modelenv.environment.hub_client import proxy_variable
from modelenv.errors import ModelDownloadError, ModelEnvError, ModelNotFoundError, redact
from modelenv.fetching.offline_errors import offline_error
from modelenv.fetching.trouble import TryAgainError
from modelenv.files.disk import disk_error
from modelenv.references import ModelRef
from modelenv.store.store import Store

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
# The query of a URL: the address of a file on a CDN is signed there, and the signature is as good as a token.
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>)]+(?=[\s'\"<>)]|$)")
_TRY_AGAIN = "try again; if the Hub cannot be reached from here, set HF_ENDPOINT, or fill the store beforehand"
_TOO_MANY = 429
_SERVER_ERRORS = 500


def our_error(store: Store, ref: ModelRef, error: Exception) -> ModelEnvError:
    """Return our error for one that came out of `huggingface_hub`, without a token in its text."""
    from huggingface_hub import constants, errors

    endpoint, model, token = constants.ENDPOINT, ref.repo_id, _token()
    chain = _chain(error)
    # What the Hub answered says more than that no file was found in the cache thereafter.
    error = next((link for link in chain if isinstance(link, errors.HfHubHTTPError)), error)
    said = redact(f"{type(error).__name__}: {_first_line(error)}", token)
    said = _QUERY.sub("***", said)
    if isinstance(error, TryAgainError):
        return _gave_up(error, endpoint, model, token)
    if any(isinstance(link, errors.OfflineModeIsEnabled) for link in chain):
        return offline_error(store, ref)
    if isinstance(error, errors.HfHubHTTPError):
        answered = _of_an_answer(store, ref, error, errors, endpoint, said)
        if answered is not None:
            return answered
    for link in chain:
        if isinstance(link, OSError) and link.errno in _OF_THE_DISK:
            return disk_error(store.root, model, link, setting=store.setting)
    if any(type(link).__name__ == "TooManyRedirects" for link in chain):
        return ModelDownloadError(
            f"{endpoint} redirects without end", model=model, found=said,
            hint="check HF_ENDPOINT, and the proxies and mirrors between here and the Hub",
        )  # fmt: skip
    hint = _unanswered_hint(endpoint)
    return ModelDownloadError(f"could not be fetched from {endpoint}", model=model, found=said, hint=hint)


def _unanswered_hint(endpoint: str) -> str:
    """Return what to do if no answer came, which may be the fault of a proxy on the way."""
    proxy = proxy_variable(endpoint)
    return _TRY_AGAIN if proxy is None else f"check the proxy that {proxy} names, and {_TRY_AGAIN}"


def _gave_up(error: TryAgainError, endpoint: str, model: str, token: str | None) -> ModelDownloadError:
    hint = _unanswered_hint(endpoint) if error.status is None else _TRY_AGAIN
    if error.status == _TOO_MANY:
        hint = (
            "too many requests come from here: try again in some minutes; with a token (HF_TOKEN) the limit is higher"
        )
    elif error.status is not None and error.status >= _SERVER_ERRORS:
        hint = "the Hub is in trouble (https://status.huggingface.co): try again later"
    elif error.once:
        hint = "try again; if it stays so, the Hub or a proxy or mirror before it is broken"
    times = {1: "once", 2: "twice"}.get(error.failures, f"{error.failures} times")
    found = _QUERY.sub("***", redact(error.cause, token))
    return ModelDownloadError(
        f"could not be fetched from {endpoint}", model=model, found=f"{found}, {times}", hint=hint
    )


def _of_an_answer(
    store: Store, ref: ModelRef, error: Any, errors: Any, endpoint: str, said: str
) -> ModelEnvError | None:
    model = ref.repo_id
    if isinstance(error, errors.GatedRepoError):
        return ModelDownloadError(
            "its owner asks for terms to be accepted first", model=model, found=said,
            hint=f"accept them at {endpoint}/{model}, then set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            "the Hub knows no model of this name, or it is private", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{model}"),
            hint="check the name; for a private model set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFoundError(
            f"the Hub knows the model, but not its revision {ref.revision!r}", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{ref}"), hint="name a branch, a tag or a commit of it",
        )  # fmt: skip
    match error.response.status_code:
        case 401:
            return ModelDownloadError(
                "the Hub does not accept the access token", model=model, found=said,
                hint="it may have expired: set HF_TOKEN to a valid one (or `hf auth login`); public models need none",
            )  # fmt: skip
        case 403:
            return ModelDownloadError(
                "the Hub refuses access", model=model, found=said,
                hint=f"does the token in HF_TOKEN have the right to read {model}?",
            )  # fmt: skip
    return None


def _token() -> str | None:
    """Return the token that requests carry, to keep it out of texts."""
    from huggingface_hub import get_token

    token: str | None = None
    with suppress(Exception):  # if it cannot be read, it was not sent either
        token = get_token()
    return token


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
