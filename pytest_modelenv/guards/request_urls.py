"""The method and the URL of a request, from the arguments of the function that sends it."""

from __future__ import annotations

import sys
from typing import Any

# The functions with which the native Xet client connects.
XET_CALLS = (
    "XetSession.new_file_download_group",
    "XetSession.new_download_stream_group",
    "XetSession.new_upload_commit",
    "download_files",
    "upload_files",
    "upload_bytes",
)


def of_httpx(transport: Any, request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the method and the URL of a request of httpx or httpx2."""
    del transport
    return request.method, str(request.url)


def of_httpcore(pool: Any, request: Any, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the method and the URL of a request of httpcore or httpcore2."""
    del pool
    url, target = request.url, request.url.target.decode("latin-1")
    host = _bracketed(url.host.decode("latin-1"))
    port = "" if url.port is None else f":{url.port}"
    address = target if "://" in target else f"{url.scheme.decode('latin-1')}://{host}{port}{target}"
    return request.method.decode("latin-1"), address


def of_urllib3(pool: Any, method: str, url: str, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the method and the URL of a request of urllib3."""
    return method, url if "://" in url else f"{pool.scheme}://{_bracketed(pool.host)}:{pool.port}{url}"


def of_http_client(connection: Any, method: str, url: str, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the method and the URL of a request of `http.client`."""
    url = str(url or "/")  # as `http.client` does
    if "://" in url:  # to a proxy
        return method, url
    scheme = "https" if isinstance(connection, sys.modules["http.client"].HTTPSConnection) else "http"
    # A subclass for another kind of socket can lack a host.
    host = getattr(connection, "_tunnel_host", None) or getattr(connection, "host", None) or ""
    port = getattr(connection, "_tunnel_port", None) or getattr(connection, "port", None) or 0
    return method, f"{scheme}://{_bracketed(host)}:{port}{url}"


def xet_endpoint(*args: Any, **kwargs: Any) -> str | None:
    """Return the endpoint that a call of the native Xet client names, or None."""
    # The functions take the endpoint as the second positional argument.
    texts = [arg for arg in args if isinstance(arg, str)]
    return kwargs.get("endpoint") or next(iter(texts), None)


def _bracketed(host: str) -> str:
    """Return a host in the form for a URL, with an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
