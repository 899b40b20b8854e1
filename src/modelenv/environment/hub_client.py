"""Checks the variables that `huggingface_hub` and its HTTP client read, so that an error names the wrong variable.

`huggingface_hub` parses some variables when its constants are imported. Its HTTP client reads the variables for
proxies and certificates when it is created. Each request depends on the endpoint, the timeouts and the access token.
Without these checks, each mistake fails differently: ValueError, ImportError, UnicodeEncodeError, SSLError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelenv.errors import ConfigurationError, redact

if TYPE_CHECKING:
    import httpx2

_SECONDS = "a positive whole number of seconds, such as 10"
_ADDRESS = "the address of a Hub, such as https://huggingface.co"
# The variables that `huggingface_hub/constants.py` parses when it is imported, and how it parses them.
_PARSED: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("HF_HUB_DOWNLOAD_TIMEOUT", int, _SECONDS),
    ("HF_HUB_ETAG_TIMEOUT", int, _SECONDS),
    ("HF_ENDPOINT", lambda text: urlsplit(text).hostname, _ADDRESS),
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_PROXY = "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_PREFIXES = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_")


def hub_constants() -> Any:
    """Import the constants of `huggingface_hub`. The import parses variables.

    Raises:
        ConfigurationError: `huggingface_hub` cannot parse the value of a variable.
    """
    try:
        from huggingface_hub import constants
    except ValueError as error:
        raise unparsable(error) from None
    return constants


def unparsable(error: Exception, environ: Mapping[str, str] | None = None) -> ConfigurationError:
    """Return our error for an exception that importing the constants raised.

    Args:
        error: The exception.
        environ: The variables that were parsed; by default those of this process.
    """
    environ = os.environ if environ is None else environ
    known = next(_parse_mistakes(environ), None)
    if known is not None:
        return known
    text = str(error)
    named = (name for name, value in environ.items() if name.startswith(_PREFIXES) and value and repr(value) in text)
    name = next(named, "one of the HF_* variables")
    return ConfigurationError(
        f"{name} has a value that huggingface_hub cannot parse",
        found=f"{type(error).__name__}: {text}",
        hint=f"correct or unset {name}",
    )


def hub_session() -> httpx2.Client:
    """Return the HTTP client that `huggingface_hub` uses. It is created if it does not exist yet.

    Raises:
        ConfigurationError: A variable names a proxy or a certificate file that cannot be used.
    """
    from huggingface_hub.utils import get_session

    try:
        return get_session()
    except Exception as error:  # noqa: BLE001 - the HTTP library, ssl, or the program's own client factory raised it
        raise _client_mistake(error) from None


def check_requests() -> None:
    """Check the variables that every request to the Hub depends on.

    Raises:
        ConfigurationError: One of them is invalid.
    """
    for mistake in _request_mistakes():
        raise mistake


def proxy_variable(address: str) -> str | None:
    """Return the variable that sets a proxy for this kind of address, or None. NO_PROXY can exempt the address."""
    kinds = (f"{urlsplit(address).scheme}_proxy", "all_proxy")
    names = (name for kind in kinds for name in (kind, kind.upper()))
    return next((name for name in names if os.environ.get(name)), None)


def mistakes() -> Iterator[ConfigurationError]:
    """Yield an error for every mistake in these variables that can be found without a request."""
    try:
        hub_constants()
    except ConfigurationError as error:
        yield from _parse_mistakes(os.environ) if any(_parse_mistakes(os.environ)) else [error]
        return
    yield from _request_mistakes()
    try:
        hub_session()
    except ConfigurationError as error:
        yield error


def _parse_mistakes(environ: Mapping[str, str]) -> Iterator[ConfigurationError]:
    for name, parse, expected in _PARSED:
        value = environ.get(name)
        if value is not None:
            try:
                parse(value)
            except ValueError:
                yield _mistake(name, value, expected)


def _mistake(name: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is not {expected.partition(',')[0]}",
        expected=expected,
        found=f"{name}={value}",
        hint=f"correct or unset {name}",
    )


def _request_mistakes() -> Iterator[ConfigurationError]:
    constants = hub_constants()
    endpoint = urlsplit(constants.ENDPOINT)
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        yield _mistake("HF_ENDPOINT", constants.ENDPOINT, _ADDRESS)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        if getattr(constants, name) < 0:
            yield _mistake(name, getattr(constants, name), _SECONDS)
    if not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        yield from _token_mistakes(Path(constants.HF_TOKEN_PATH))


def _token_mistakes(path: Path) -> Iterator[ConfigurationError]:
    """Check the token that `huggingface_hub` uses, from a variable or else the file. The error never shows it."""
    place = next((name for name in _TOKENS if os.environ.get(name)), None)
    try:
        token = path.read_text() if place is None else os.environ[place]
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        yield ConfigurationError(
            "the access token file cannot be read",
            found=f"{path}: {getattr(error, 'strerror', None) or 'not text'}",
            hint="give this user permission to read it, set HF_TOKEN, or set HF_TOKEN_PATH to another file",
        )
        return
    token = token.replace("\r", "").replace("\n", "").strip()
    if not token.isascii() or not token.isprintable():
        where = place or str(path)
        yield ConfigurationError(
            f"the access token in {where} contains characters that are not allowed in a token",
            expected="letters, digits and underscores, such as hf_...",
            found=f"{len(token)} characters in {where}",
            hint=f"copy the token into {where} again",
        )


def _client_mistake(error: Exception) -> ConfigurationError:
    said = f"{type(error).__name__}: {error}"
    return (
        next(_proxy_mistakes(), None)
        or next(_certificate_mistakes(), None)
        or ConfigurationError(
            "the HTTP client of huggingface_hub cannot be created",
            found=said,
            hint="check the proxy and certificate variables, and the program's calls of set_client_factory",
        )
    )


def _proxy_mistakes() -> Iterator[ConfigurationError]:
    """Try each proxy on its own, so that the error names the one that fails."""
    from huggingface_hub.utils import httpx

    variables = ((name, value) for name, value in os.environ.items() if name.lower() in _PROXIES and value)
    for name, value in sorted(variables, key=lambda item: item[0].isupper()):  # the client prefers lower case
        address = value if "://" in value else f"http://{value}"
        shown = _without_password(value)
        try:
            httpx.HTTPTransport(proxy=address, verify=False, trust_env=False).close()
        except ImportError:
            yield ConfigurationError(
                "a SOCKS proxy needs the package socksio, which is not installed",
                found=f"{name}={shown}",
                hint=f"pip install socksio, or unset {name}",
            )
        except Exception as error:  # noqa: BLE001 - the library raises ValueError, and InvalidURL, which is none
            said = str(error) if shown == value else redact(str(error), value, address)
            yield ConfigurationError(
                f"{name} is not a valid proxy address",
                expected=_PROXY,
                found=f"{name}={shown} ({said})",
                hint=f"correct or unset {name}",
            )


def _certificate_mistakes() -> Iterator[ConfigurationError]:
    import ssl

    for name, argument in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        value = os.environ.get(name)
        if value:
            try:
                ssl.create_default_context(**{argument: value})  # type: ignore[arg-type]
            except OSError as error:  # includes SSLError
                yield ConfigurationError(
                    f"the certificates in {name} cannot be read",
                    expected="a file of certificates in PEM format",
                    found=f"{name}={value}: {error.strerror or error}",
                    hint=f"correct or unset {name}",
                )


def _without_password(address: str) -> str:
    """Return an address without the user and the password before its last `@`."""
    credentials, at, host = address.rpartition("@")
    if not at:
        return address
    scheme, separator, _ = credentials.partition("://")
    return f"{scheme}{separator}***@{host}" if separator else f"***@{host}"
