"""Sees what a process asks the Hub for: the HTTP requests, and the calls of `huggingface_hub` for files.

The calls are needed because a file that is in the cache is often used without a request.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from modelenv.adoption.records import Adoption, Asked, append
from modelenv.interception.on_import import OnImport
from modelenv.interception.routes import read_call

_HUB_HOSTS = ("huggingface.co", "hf.co")  # and their subdomains: the hosts of large files
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FILES = "huggingface_hub.file_download"
_AGENT = b"hf_hub/"  # in the user agent of each request of huggingface_hub


@dataclass(frozen=True)
class Observer:
    """Records what this process asks for. If the run is offline, requests to the Hub fail like a lost connection."""

    adoption: Adoption

    def install(self) -> None:
        """Watch the libraries, now or when they are imported."""
        OnImport(
            {
                "httpcore": lambda: self._watch_httpcore("httpcore"),
                "httpcore2": lambda: self._watch_httpcore("httpcore2"),
                "http.client": self._watch_http_client,
                _FILES: self._watch_files,
            }
        ).install()

    def _watch_httpcore(self, name: str) -> None:
        library = sys.modules[name]
        pool, async_pool = library.ConnectionPool, library.AsyncConnectionPool
        handle, handle_async = pool.handle_request, async_pool.handle_async_request

        @functools.wraps(handle)
        def handle_request(pool: Any, request: Any) -> Any:
            self._request(*_of_httpcore(request), library.ConnectError)
            return handle(pool, request)

        @functools.wraps(handle_async)
        async def handle_async_request(pool: Any, request: Any) -> Any:
            self._request(*_of_httpcore(request), library.ConnectError)
            return await handle_async(pool, request)

        pool.handle_request, async_pool.handle_async_request = handle_request, handle_async_request

    def _watch_http_client(self) -> None:
        library = sys.modules["http.client"]
        put = library.HTTPConnection.putrequest

        @functools.wraps(put)
        def putrequest(connection: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            self._request(method, _url_of(connection, str(url)), False, ConnectionRefusedError)
            return put(connection, method, url, *args, **kwargs)

        library.HTTPConnection.putrequest = putrequest

    def _request(self, method: str, url: str, by_client: bool, error: type[Exception]) -> None:
        path = self._path_on_hub(url)
        if path is None:
            return
        call = read_call(method, path)
        if call is None:
            asked = Asked(_test(), url=url.partition("?")[0])
        else:
            file = call.path if call.kind == "file" else ""
            asked = Asked(_test(), call.repo_type, call.repo, call.revision, file)
        self._record(replace(asked, is_request=True, by_client=by_client))
        if self.adoption.is_offline:
            raise error(f"{method} {url}: the Hub is out of reach in this run of `modelenv adopt`")

    def _path_on_hub(self, url: str) -> str | None:
        """Return the raw path below the Hub's endpoint, or None if the request does not go to the Hub."""
        try:
            address, hub = urlsplit(url), urlsplit(self.adoption.endpoint)
            host, is_endpoint = address.hostname or "", _origin(url) == _origin(self.adoption.endpoint)
        except ValueError:  # the library that sends the request reports it
            return None
        if is_endpoint:
            return address.path.removeprefix(hub.path.rstrip("/"))
        return address.path if any(host == each or host.endswith(f".{each}") for each in _HUB_HOSTS) else None

    def _watch_files(self) -> None:
        module: Any = sys.modules[_FILES]
        module.hf_hub_download = self._watched(module.hf_hub_download, lambda found: True)
        module.try_to_load_from_cache = self._watched(module.try_to_load_from_cache, lambda found: found is not None)

    def _watched(self, original: Callable[..., Any], counts: Callable[[Any], bool]) -> Callable[..., Any]:
        """Return the function, which then records the file that it is called for, also if it fails."""
        signature = inspect.signature(original)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            found: object = None
            try:
                found = original(*args, **kwargs)
                return found
            finally:
                if counts(found):
                    self._file(signature, args, kwargs)

        return call

    def _file(self, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # the function raises it, too
            return
        repo, file, folder = given["repo_id"], given["filename"], given.get("subfolder")
        endpoint = given.get("endpoint") or sys.modules["huggingface_hub.constants"].ENDPOINT
        if (
            not isinstance(repo, str)
            or not isinstance(file, str)
            or _origin(endpoint) != _origin(self.adoption.endpoint)
        ):
            return
        file = f"{folder}/{file}" if folder else file
        self._record(Asked(_test(), given.get("repo_type") or "model", repo, given.get("revision"), file))

    def _record(self, asked: Asked) -> None:
        append(self.adoption.folder, "asked", [asdict(asked)])


def _test() -> str:
    """Return the test that runs in this process, or in the one that started it."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]


def _of_httpcore(request: Any) -> tuple[str, str, bool]:
    url, target = request.url, request.url.target.decode("latin-1")
    host, port = url.host.decode("latin-1"), "" if url.port is None else f":{url.port}"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    address = target if "://" in target else f"{url.scheme.decode('latin-1')}://{host}{port}{target}"
    by_client = any(name.lower() == b"user-agent" and _AGENT in value for name, value in request.headers)
    return request.method.decode("latin-1"), address, by_client


def _url_of(connection: Any, url: str) -> str:
    if "://" in url:  # to a proxy
        return url
    is_secure = isinstance(connection, sys.modules["http.client"].HTTPSConnection)
    host = getattr(connection, "_tunnel_host", None) or getattr(connection, "host", None) or ""
    port = getattr(connection, "_tunnel_port", None) or getattr(connection, "port", None) or 0
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if is_secure else 'http'}://{host}:{port}{url}"


def _origin(url: str) -> tuple[str | None, int | None]:
    address = urlsplit(url)
    return address.hostname, address.port or _DEFAULT_PORTS.get(address.scheme)
