"""The embedded Hub itself: a server on a background thread of this process, bound to loopback."""

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
# A late thread of an earlier test must not find the next test's Hub at the address that it knows.
_USED_PORTS = 1000


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
        storage: a folder for what is pushed; None is a temporary one, gone with the hub.
        cdn: whether large files come from another port to which the Hub sends on, as the public Hub does.

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
        storage: Path | None = None,
        cdn: bool = False,
    ) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigurationError("there is no folder to serve", found=str(folder))
        self._host = loopback(host)
        if not 0 <= port <= 65535:
            raise ConfigurationError("this is not a port", expected="0 to 65535", found=str(port))
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
        self._shared_thread: ServerThread | None = None  # a view has that of the Hub of which it is one
        self._used_ports: deque[int] = deque(maxlen=_USED_PORTS)
        at_fork(self, EmbeddedHub._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """In a forked child: the parent goes on serving."""
        self._server = self._thread = self._shared_thread = None

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
        """Let requests fail from now on, running or not, as the rule says; see `modelenv.hub.faults.rules.Rule`.

        For example `hub.fail(status=503, file="*.safetensors", times=1)`. Faults apply in the order in which they
        were set. The handle tells how often this one hit, and cancels it.

        Raises:
            ConfigurationError: a value is not valid, or nothing would happen.
        """
        return self._faults.add(Rule(**rule))

    def clear_faults(self) -> None:
        """End all faults; requests that were hit already are not changed."""
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
        """Serve a folder as the repository `repo_id`, running or not, and return what it holds.

        The id may be left out for a folder under the served root. A change of the files later on is seen, and gives
        a new commit; what is pushed to the repository is kept elsewhere, and ends that. A private repository is
        there for its owners alone; the files of a gated one are for them and for who was given access, see `token`.

        Raises:
            ConfigurationError: the folder has nothing to serve, or the id is missing, not valid, or taken.
        """
        settings = RepositorySettings(private, "auto" if gated is True else gated)
        return self._repositories.add(Path(folder), repo_id, repo_type=repo_type, settings=settings)

    def remove(self, repo_id: str, *, repo_type: RepoType = "model") -> None:
        """Serve a repository no more; its folder stays as it is.

        Raises:
            ConfigurationError: there is no such repository.
        """
        repository = self._repositories.find(repo_id, repo_type)
        if repository is None:
            raise ConfigurationError("there is no such repository to remove", model=repo_id)
        self._repositories.remove(repository)

    def repo_ids(self, *, repo_type: RepoType = "model") -> tuple[str, ...]:
        """Return the names of the repositories of this type that are served now."""
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

        With the first token the Hub stops taking every token for that of a user who may all: from then on it knows
        only those that it gave out.

        Args:
            name: the user.
            role: `read` tokens cannot push.
            orgs: organisations that the user is a member of.
            access: the private and gated repositories of others that the user may read.
            expired: give a token that was good once.
        """
        token = f"hf_{secrets.token_hex(17)}"
        account = Account(name, name, role, tuple(orgs), frozenset(access), expired)
        self._accounts.add(token, account)
        return token

    @contextmanager
    def view(self) -> Iterator[EmbeddedHub]:
        """Give a Hub for one test, with an address, a log, faults and rate limits of its own.

        It begins with the repositories and tokens of this one, which must run; nothing is hashed again. What is
        added, pushed or changed in it reaches neither this one nor another view. At its end whatever is being sent
        breaks off, and its address answers nobody, nor is it given to one of the next thousand views.

        Raises:
            ConfigurationError: this Hub does not run.
        """
        if self._thread is None:
            raise ConfigurationError(
                "a view needs an embedded Hub that runs", hint="start it: `with EmbeddedHub(...) as hub:`"
            )
        view = EmbeddedHub(host=self._host, on_request=self._log.finished, cdn=self._cdn_port is not None)
        view._begin_as(self._repositories, self._accounts, self._thread, self._used_ports)
        with view:
            yield view

    def _begin_as(
        self, repositories: Repositories, accounts: Accounts, thread: ServerThread, used_ports: deque[int]
    ) -> None:
        self._repositories = repositories.copy(self._blobs)
        self._accounts = accounts.copy()
        self._shared_thread = thread
        self._used_ports = used_ports

    def start(self) -> Self:
        """Bind the port and serve until `stop`; returns when requests are answered.

        Raises:
            ConfigurationError: the extra is not installed, the port is taken, or the hub runs already.
            ModelEnvError: the server did not start within its deadline.
        """
        if self._thread is not None:
            raise ConfigurationError("the embedded Hub runs already", found=self.endpoint, hint="stop it first")
        background, app, entrance = _import_server()
        listener = bind(self._host, self._port, self._used_ports)
        self._port = listener.getsockname()[1]
        self._endpoint = address(self._host, listener)
        listeners, cdn = [listener], None
        if self._cdn_port is not None:
            listeners.append(bind(self._host, self._cdn_port, self._used_ports))
            self._cdn_port = listeners[1].getsockname()[1]
            cdn = app.Cdn(self._cdn_port, address(self._host, listeners[1]))
        application = app.HubApp(self._repositories, accounts=self._accounts, blobs=self._blobs, cdn=cdn)
        entered = entrance.Entrance(application, self._log, self._faults, self._refuse)
        self._thread = self._shared_thread or background.ServerThread()
        self._server = background.BackgroundServer(entered, listeners, self._thread)
        if not self._server.start(_START_SECONDS):
            self.stop()
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
    """Return the error of a server that did not `verb` within `seconds`."""
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
