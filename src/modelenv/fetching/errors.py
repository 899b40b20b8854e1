"""Converts exceptions of `huggingface_hub` to our errors, with the cause and what to do about it."""

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
# The query of a URL. The address of a file on a CDN has its signature there, which gives the same access as a token.
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>)]+(?=[\s'\"<>)]|$)")
_TRY_AGAIN = "try again; if the Hub cannot be reached from here, set HF_ENDPOINT, or fill the store beforehand"
_TOO_MANY = 429
_SERVER_ERRORS = 500


def our_error(store: Store, ref: ModelRef, error: Exception) -> ModelEnvError:
    """Return our error for an exception that `huggingface_hub` raised, without tokens in its text."""
    from huggingface_hub import constants, errors

    endpoint, model, token = constants.ENDPOINT, ref.repo_id, _token()
    chain = _chain(error)
    # The Hub's response explains more than the later error that no file was found in the cache.
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
            f"{endpoint} redirects too many times", model=model, found=said,
            hint="check HF_ENDPOINT, and the proxies and mirrors between here and the Hub",
        )  # fmt: skip
    hint = _unanswered_hint(endpoint)
    return ModelDownloadError(f"could not be fetched from {endpoint}", model=model, found=said, hint=hint)


def _unanswered_hint(endpoint: str) -> str:
    """Return the hint for a request without a response. A proxy could be the cause."""
    proxy = proxy_variable(endpoint)
    return _TRY_AGAIN if proxy is None else f"check the proxy that {proxy} names, and {_TRY_AGAIN}"


def _gave_up(error: TryAgainError, endpoint: str, model: str, token: str | None) -> ModelDownloadError:
    hint = _unanswered_hint(endpoint) if error.status is None else _TRY_AGAIN
    if error.status == _TOO_MANY:
        hint = "too many requests from here: try again in a few minutes; with a token (HF_TOKEN) the limit is higher"
    elif error.status is not None and error.status >= _SERVER_ERRORS:
        hint = "the Hub has a problem (https://status.huggingface.co): try again later"
    elif error.once:
        hint = "try again; if that does not help, the Hub, a proxy or a mirror is broken"
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
            "this model is gated, so its terms must be accepted first", model=model, found=said,
            hint=f"accept them at {endpoint}/{model}, then set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            "the Hub has no model with this name, or the model is private", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{model}"),
            hint="check the name; for a private model set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFoundError(
            f"the Hub has this model, but not its revision {ref.revision!r}", model=model, found=said,
            tried=(*store.places(ref), f"{endpoint}/{ref}"), hint="use a branch, a tag or a commit of the model",
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
                hint=f"check that the token in HF_TOKEN has permission to read {model}",
            )  # fmt: skip
    return None


def _token() -> str | None:
    """Return the token that is sent with requests, so that it can be removed from texts."""
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
