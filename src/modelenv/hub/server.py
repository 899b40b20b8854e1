"""The embedded Hub itself: a server on a background thread of this process, bound to loopback."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from ..errors import ConfigurationError, ModelEnvError
from .fault_script import FaultHandle, FaultScript
from .faults import Rule, RuleFields
from .repositories import Repositories, RepositoryInfo
from .request_log import HubRequest, RequestLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    from .background import BackgroundServer

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0
_LISTED = 20


class EmbeddedHub:
    """Serves model folders over loopback, so that the real client takes it for the public Hub.

    It is a context manager; `start` and `stop` do the same by hand. It may be started again after a stop, and
    then has the same endpoint.

    Args:
        folder: a folder of models, `<org>/<name>` or `<name>`; new ones are seen at once. None serves
            only what is added.
        port: the port; 0 takes a free one.
        host: a loopback address.
        on_request: called, on the server's thread, with each request when its answer has ended.

    Raises:
        ConfigurationError: the folder does not exist, or the host or port cannot be used.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        on_request: Callable[[HubRequest], None] | None = None,
    ) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigurationError("there is no folder to serve", found=str(folder))
        self._host = _loopback(host)
        if not 0 <= port <= 65535:
            raise ConfigurationError("this is not a port", expected="0 to 65535", found=str(port))
        self._port = port
        self._repositories = Repositories(Path(folder) if folder is not None else None)
        self._log = RequestLog(on_request)
        self._bytes_per_second: float | None = None
        self._faults = FaultScript()
        self._endpoint: str | None = None
        self._server: BackgroundServer | None = None

    @property
    def endpoint(self) -> str:
        """The URL to use as `HF_ENDPOINT`; known from the first start on, and kept after a stop.

        Raises:
            ConfigurationError: the hub was never started.
        """
        if self._endpoint is None:
            raise ConfigurationError(
                "the embedded Hub has no endpoint yet", hint="start it: `with EmbeddedHub(...) as hub:`"
            )
        return self._endpoint

    @property
    def bytes_per_second(self) -> float | None:
        """How fast each GET of a file sends its body; None is as fast as it can. May be set at any time."""
        return self._bytes_per_second

    @bytes_per_second.setter
    def bytes_per_second(self, rate: float | None) -> None:
        if rate is not None and not rate > 0:
            raise ConfigurationError(
                "this is not a rate",
                expected="bytes per second above 0, or None for no limit",
                found=str(rate),
            )
        self._bytes_per_second = rate

    @property
    def requests(self) -> tuple[HubRequest, ...]:
        """The requests since the start or the last `clear`, in the order of their arrival."""
        return self._log.all()

    def clear(self) -> None:
        """Forget the requests so far."""
        self._log.clear()

    def assert_no_requests(self) -> None:
        """Raise an `AssertionError` that lists the requests, if there are any."""
        requests = self.requests
        if requests:
            lines = [f"  {request}" for request in requests[:_LISTED]]
            if len(requests) > _LISTED:
                lines.append(f"  and {len(requests) - _LISTED} more")
            raise AssertionError("\n".join([f"the Hub was asked {len(requests)} times:", *lines]))

    def fail(self, **rule: Unpack[RuleFields]) -> FaultHandle:
        """Let requests fail from now on, running or not, as the rule says; see `modelenv.hub.faults.Rule`.

        For example `hub.fail(status=503, file="*.safetensors", times=1)`. Faults apply in the order in which they
        were set. The handle tells how often this one hit, and cancels it.

        Raises:
            ConfigurationError: a value is not valid, or nothing would happen.
        """
        return self._faults.add(Rule(**rule))

    def clear_faults(self) -> None:
        """End all faults; requests that were hit already are not changed."""
        self._faults.clear()

    def add(self, folder: Path, repo_id: str | None = None) -> RepositoryInfo:
        """Serve a folder as the repository `repo_id`, running or not, and return what it holds.

        The id may be left out for a folder under the served root. A change of the files later on is seen, and
        gives a new commit.

        Raises:
            ConfigurationError: the folder has nothing to serve, or the id is missing, not valid, or taken.
        """
        return self._repositories.add(Path(folder), repo_id)

    def start(self) -> Self:
        """Bind the port and serve until `stop`; returns when requests are answered.

        Raises:
            ConfigurationError: the extra is not installed, the port is taken, or the hub runs already.
            ModelEnvError: the server did not start within its deadline.
        """
        if self._server is not None:
            raise ConfigurationError("the embedded Hub runs already", found=self.endpoint, hint="stop it first")
        background, app, fault_layer = _import_server()
        listener = _bind(self._host, self._port)
        self._port = listener.getsockname()[1]
        name = f"[{self._host}]" if ":" in self._host else self._host
        self._endpoint = f"http://{name}:{self._port}"
        application = app.HubApp(self._repositories, self._log, lambda: self._bytes_per_second)
        faulty = fault_layer.FaultLayer(application, self._faults, self._log, self._refuse)
        self._server = background.BackgroundServer(faulty, listener)
        if not self._server.start(_START_SECONDS):
            self._server = None
            raise late("start", _START_SECONDS)
        return self

    def _refuse(self, seconds: float) -> None:
        if self._server is not None:
            self._server.refuse(seconds)

    def stop(self) -> None:
        """Stop serving and break off what is being sent; does nothing if the hub does not run.

        Raises:
            ModelEnvError: the server did not stop within its deadline.
        """
        server, self._server = self._server, None
        if server is not None and not server.stop(_STOP_SECONDS):
            raise late("stop", _STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def late(verb: str, seconds: float) -> ModelEnvError:
    """Return the error of a server that did not `verb` within `seconds`."""
    return ModelEnvError(
        f"the embedded Hub did not {verb} within {seconds:g} s",
        hint="is this machine overloaded, or a file of a served folder on a disk that does not answer?",
    )


def _import_server() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        from . import app, background, fault_layer
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in {"starlette", "uvicorn"}:
            raise
        raise ConfigurationError(
            "the embedded Hub needs the extra [hub]",
            found=f"{missing} is not installed",
            hint="pip install 'modelenv[hub]'",
        ) from error
    return background, app, fault_layer


def _loopback(host: str) -> str:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ConfigurationError(
            "the embedded Hub serves this machine alone", expected="a loopback address", found=repr(host)
        )
    return str(address)


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            "the embedded Hub cannot listen here",
            found=f"{host} port {port}: {error.strerror}",
            hint="choose another port; 0 takes a free one",
        ) from error
    return listener
