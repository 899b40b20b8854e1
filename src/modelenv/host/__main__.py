"""`python -m modelenv.host FOLDER`: the process that holds the models. It is started by `modelenv.host.client`."""

from __future__ import annotations

import argparse
import fcntl
import gc
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Listener
from pathlib import Path

from modelenv.deadlines import Deadline
from modelenv.host.folder import HostFolder
from modelenv.host.processes import watcher
from modelenv.host.serving.cores import share_cores
from modelenv.host.serving.log import redact_output
from modelenv.host.serving.model_cache import HeldModels
from modelenv.host.serving.response_cache import Answers
from modelenv.host.serving.server import Host, accept_forever

_POLL_SECONDS = 0.1
_ENDING_SECONDS = 5.0  # for the questions under way when somebody stops the host
_LEAVING_SECONDS = 2.0  # for the workers of a run that was killed
_BACKLOG = 64


def main() -> None:
    """Hold models until the watched process ends, the host idles too long, or somebody stops it."""
    parser = argparse.ArgumentParser(prog="python -m modelenv.host", description=__doc__)
    parser.add_argument("folder", type=Path, help="the private folder with the host's socket")
    parser.add_argument("--lock", type=int, metavar="FD", help="the folder's lock, taken by whoever starts this")
    parser.add_argument("--watch", type=int, metavar="PID", help="end when this process ends")
    parser.add_argument("--remove", type=Path, metavar="FOLDER", help="remove this too when the watched process ends")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="end after this long without a question")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="unload models to hold no more than this")
    parser.add_argument(
        "--answers", type=int, metavar="BYTES", help="remember this much of answers, to give them again"
    )
    options = parser.parse_args()
    redact_output()
    folder = HostFolder(options.folder)
    if options.lock is None:
        lock = folder.lock.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another host serves this folder already
    _run(folder, options)


def _run(folder: HostFolder, options: argparse.Namespace) -> None:
    libraries = threading.Event()
    answers = None if options.answers is None else Answers(options.answers)
    host = Host(HeldModels(libraries, options.memory), answers)
    signal.signal(signal.SIGTERM, lambda *_: host.stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the test run, which then ends its host
    folder.make_socket_folder()
    folder.socket.unlink(missing_ok=True)
    temporary = folder.socket.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    listener = Listener(str(temporary), family="AF_UNIX", backlog=_BACKLOG)
    temporary.rename(folder.socket)  # from here on it can be connected to
    threading.Thread(target=accept_forever, args=(listener, host), daemon=True).start()
    threading.Thread(target=_import_early, args=(libraries,), daemon=True).start()
    try:
        has_ended = _wait(host, folder, watcher(options.watch), options.idle)
        folder.remove_socket()
        if has_ended:
            _wait_while(lambda: host.is_connected, _LEAVING_SECONDS)  # its workers end too, and may write until then
            for left in filter(None, (folder.path, options.remove)):  # nobody else is left to do it
                shutil.rmtree(left, ignore_errors=True)
        elif host.stopping.is_set():
            _wait_while(lambda: host.is_answering, _ENDING_SECONDS)
    finally:
        sys.stdout.flush()
        os._exit(0)  # threads may be deep in torch; nothing of theirs is worth waiting for


def _import_early(done: threading.Event) -> None:
    from modelenv.loading.build import import_libraries

    try:
        import_libraries()
        gc.freeze()  # what was imported stays as long as this process
        share_cores()
    finally:
        done.set()


def _wait_while(condition: Callable[[], bool], seconds: float) -> None:
    deadline = Deadline(seconds)
    while condition() and deadline.remaining:
        time.sleep(0.01)


def _wait(host: Host, folder: HostFolder, ended: Callable[[float], bool], idle: float | None) -> bool:
    """Wait until the host is to end; return whether the watched process ended."""
    socket = folder.socket
    while not host.stopping.is_set():
        if ended(_POLL_SECONDS):
            return True
        if idle is not None and host.status().idle_seconds > idle:
            break
        if not (socket.exists() and folder.path.exists()):
            break  # nobody finds this host any more, and while it lives there is no other
    return False


if __name__ == "__main__":
    main()
