"""The embedded Hub: a server on a background thread of this process, bound to loopback."""

from __future__ import annotations

import secrets
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from modelenv.errors import ConfigurationError, ModelEnvError
from modelenv.forks import at_fork
from modelenv.hub.accounts import Account, Accounts, Role
from modelenv.hub.faults.rules import Rule, RuleFields
from modelenv.hub.faults.script import FaultHandle, FaultScript
from modelenv.hub.listening import address, bind, loopback
from modelenv.hub.repos.blobs import BlobStore
from modelenv.hub.repos.repositories import Repositories, RepositoryInfo
from modelenv.hub.repos.repository import Gated, RepositorySettings, RepoType
from modelenv.hub.request_log import HubRequest, RequestLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType, TracebackType

    from modelenv.hub.background import BackgroundServer, ServerThread

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LISTED = 20
# A thread left over from an earlier test must not reach the Hub of a later test at the address it knows.
_USED_PORTS = 1000


class EmbeddedHub:
    """Serves model folders on loopback with the protocol of the public Hub, to the real client.

    It is a context manager; `start` and `stop` do the same explicitly. It can be started again after a stop, and then
    keeps its endpoint.

    Args:
        folder: A folder of models, `<org>/<name>` or `<name>`. New models appear at once. None serves only what is
            added.
        port: The port. 0 picks a free one.
        host: A loopback address.
        on_request: Called on the server's thread with each request when its response has ended.
        storage: A folder for pushed files. None uses a temporary folder, which is removed with the Hub.
        cdn: Whether large files are redirected to a second port, as the public Hub does.

    Raises:
        ConfigurationError: The folder does not exist, or the host or port cannot be used.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        on_request: Callable[[HubRequest], None] | None = None,
        storage: Path | None = None,
        cdn: bool = False,
    ) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigurationError("the folder to serve does not exist", found=str(folder))
        self._host = loopback(host)
        if not 0 <= port <= 65535:
            raise ConfigurationError("not a valid port", expected="0 to 65535", found=str(port))
        self._port = port
        self._blobs = BlobStore(Path(storage) if storage is not None else None)
        self._repositories = Repositories(Path(folder) if folder is not None else None, self._blobs)
        self._accounts = Accounts()
        self._cdn_port: int | None = 0 if cdn else None
        self._log = RequestLog(on_request)
        self._faults = FaultScript()
        self._endpoint: str | None = None
        self._server: BackgroundServer | None = None
        self._thread: ServerThread | None = None
        self._shared_thread: ServerThread | None = None  # set in a view: the thread of its parent Hub
        self._used_ports: deque[int] = deque(maxlen=_USED_PORTS)
        at_fork(self, EmbeddedHub._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """Called in a forked child: forget the server, which continues in the parent."""
        self._server = self._thread = self._shared_thread = None

    @property
    def endpoint(self) -> str:
        """The URL to use as `HF_ENDPOINT`. It is set by the first start, and kept after a stop.

        Raises:
            ConfigurationError: The Hub was never started.
        """
        if self._endpoint is None:
            raise ConfigurationError(
                "the embedded Hub has no endpoint yet", hint="start it: `with EmbeddedHub(...) as hub:`"
            )
        return self._endpoint

    @property
    def requests(self) -> tuple[HubRequest, ...]:
        """The requests since the start or the last `clear`, in order of arrival."""
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
            raise AssertionError("\n".join([f"expected no requests to the Hub, found {len(requests)}:", *lines]))

    def fail(self, **rule: Unpack[RuleFields]) -> FaultHandle:
        """Add a fault: from now on, requests that match the rule fail. See `modelenv.hub.faults.rules.Rule`.

        For example `hub.fail(status=503, file="*.safetensors", times=1)`. Faults apply in the order in which they
        were added. The handle counts how often the fault was applied, and cancels it. The Hub need not be running.

        Raises:
            ConfigurationError: A value is not valid, or the fault would have no effect.
        """
        return self._faults.add(Rule(**rule))

    def clear_faults(self) -> None:
        """Remove all faults. Requests that are already affected do not change."""
        self._faults.clear()

    def add(
        self,
        folder: Path,
        repo_id: str | None = None,
        *,
        repo_type: RepoType = "model",
        private: bool = False,
        gated: bool | Gated = False,
    ) -> RepositoryInfo:
        """Serve a folder as the repository `repo_id`, and describe it. The Hub need not be running.

        The id can be omitted for a folder under the served root. Later changes of the files are served as new
        commits, until the first push to the repository; pushed files are stored elsewhere. Only its owners can see a
        private repository. Its owners and users with access can read the files of a gated one, see `token`.

        Raises:
            ConfigurationError: The folder has nothing to serve, or the id is missing, not valid, or taken.
        """
        settings = RepositorySettings(private, "auto" if gated is True else gated)
        return self._repositories.add(Path(folder), repo_id, repo_type=repo_type, settings=settings)

    def remove(self, repo_id: str, *, repo_type: RepoType = "model") -> None:
        """Stop serving a repository. Its folder is not changed.

        Raises:
            ConfigurationError: There is no such repository.
        """
        repository = self._repositories.find(repo_id, repo_type)
        if repository is None:
            raise ConfigurationError("there is no such repository to remove", model=repo_id)
        self._repositories.remove(repository)

    def repo_ids(self, *, repo_type: RepoType = "model") -> tuple[str, ...]:
        """Return the ids of the repositories of this type."""
        return tuple(repository.repo_id for repository in self._repositories.all(repo_type))

    def token(
        self,
        name: str = "user",
        *,
        role: Role = "write",
        orgs: Iterable[str] = (),
        access: Iterable[str] = (),
        expired: bool = False,
    ) -> str:
        """Return a new token of the user `name`, who owns the repositories under that name and those of `orgs`.

        Until the first token is returned, any token is accepted with full rights. After that, only tokens returned by
        this method are valid.

        Args:
            name: The user.
            role: The role of the token. `read` tokens cannot push.
            orgs: The organisations that the user is a member of.
            access: The private and gated repositories of others that the user can read.
            expired: Whether the token has expired.
        """
        token = f"hf_{secrets.token_hex(17)}"
        account = Account(name, name, role, tuple(orgs), frozenset(access), expired)
        self._accounts.add(token, account)
        return token

    @contextmanager
    def view(self) -> Iterator[EmbeddedHub]:
        """Context manager: a Hub for one test, with its own address, log, faults and rate limits.

        The view starts with the repositories and tokens of this Hub, which must be running; nothing is hashed again.
        What is added, pushed or changed in a view is not visible in this Hub or in other views. When the view ends,
        its connections are aborted, its address refuses connections, and the next thousand views do not reuse it.

        Raises:
            ConfigurationError: This Hub is not running.
        """
        if self._thread is None:
            raise ConfigurationError(
                "a view requires a running embedded Hub", hint="start it: `with EmbeddedHub(...) as hub:`"
            )
        view = EmbeddedHub(host=self._host, on_request=self._log.finished, cdn=self._cdn_port is not None)
        view._copy_from(self._repositories, self._accounts, self._thread, self._used_ports)
        with view:
            yield view

    def _copy_from(
        self, repositories: Repositories, accounts: Accounts, thread: ServerThread, used_ports: deque[int]
    ) -> None:
        self._repositories = repositories.copy(self._blobs)
        self._accounts = accounts.copy()
        self._shared_thread = thread
        self._used_ports = used_ports

    def start(self) -> Self:
        """Bind the port, and serve until `stop`. Returns when the server is ready.

        Raises:
            ConfigurationError: The extra is not installed, the port is taken, or the Hub is already running.
            ModelEnvError: The server did not start within its deadline.
        """
        if self._thread is not None:
            raise ConfigurationError("the embedded Hub is already running", found=self.endpoint, hint="stop it first")
        background, app, middleware = _import_server()
        listener = bind(self._host, self._port, self._used_ports)
        self._port = listener.getsockname()[1]
        self._endpoint = address(self._host, listener)
        listeners, cdn = [listener], None
        if self._cdn_port is not None:
            listeners.append(bind(self._host, self._cdn_port, self._used_ports))
            self._cdn_port = listeners[1].getsockname()[1]
            cdn = app.Cdn(self._cdn_port, address(self._host, listeners[1]))
        application = app.HubApp(self._repositories, accounts=self._accounts, blobs=self._blobs, cdn=cdn)
        wrapped = middleware.HubMiddleware(application, self._log, self._faults, self._refuse)
        self._thread = self._shared_thread or background.ServerThread()
        self._server = background.BackgroundServer(wrapped, listeners, self._thread)
        if not self._server.start(_START_SECONDS):
            self.stop()
            raise late("start", _START_SECONDS)
        return self

    def _refuse(self, seconds: float) -> None:
        if self._server is not None:
            self._server.refuse(seconds)

    def stop(self) -> None:
        """Stop serving, and abort all connections. Does nothing if the Hub is not running.

        Raises:
            ModelEnvError: The server did not stop within its deadline.
        """
        server, thread, self._server, self._thread = self._server, self._thread, None, None
        if server is None or thread is None:
            return
        is_stopped = server.stop(_STOP_SECONDS)
        if thread is not self._shared_thread:
            is_stopped = thread.stop(_STOP_SECONDS) and is_stopped
        if not is_stopped:
            raise late("stop", _STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def late(verb: str, seconds: float) -> ModelEnvError:
    """Return the error for a server that did not start or stop (the `verb`) within `seconds`."""
    return ModelEnvError(
        f"the embedded Hub did not {verb} within {seconds:g} s",
        hint="is this machine overloaded, or a file of a served folder on a disk that does not answer?",
    )


def _import_server() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        from modelenv.hub import background
        from modelenv.hub.http import app, middleware
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in {"starlette", "uvicorn"}:
            raise
        raise ConfigurationError(
            "the embedded Hub needs the extra [hub]",
            found=f"{missing} is not installed",
            hint="pip install 'modelenv[hub]'",
        ) from error
    return background, app, middleware
