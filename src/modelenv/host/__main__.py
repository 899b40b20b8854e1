"""Run the process that holds the models. `modelenv.host.client` starts it."""

from __future__ import annotations

import argparse
import fcntl
import gc
import os
import signal
import sys
import threading
from multiprocessing.connection import Listener
from pathlib import Path

from modelenv.host.folder import HostFolder
from modelenv.host.serving.cores import share_cores
from modelenv.host.serving.lifetime import Lifetime
from modelenv.host.serving.log import redact_output
from modelenv.host.serving.model_cache import ModelCache
from modelenv.host.serving.response_cache import ResponseCache
from modelenv.host.serving.server import Host, accept_forever

_BACKLOG = 64


def main() -> None:
    """Hold models until the watched process ends, the host is idle for too long, or it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m modelenv.host", description=__doc__)
    parser.add_argument("folder", type=Path, help="the private folder with the host's socket")
    parser.add_argument("--lock", type=int, metavar="FD", help="the folder's lock, taken by the parent process")
    parser.add_argument("--watch", type=int, metavar="PID", help="end when this process ends")
    parser.add_argument("--remove", type=Path, metavar="FOLDER", help="remove this too when the watched process ends")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="end after this time without a request")
    parser.add_argument("--memory", type=int, metavar="BYTES", help="the memory limit for the models")
    parser.add_argument("--answers", type=int, metavar="BYTES", help="the memory limit for cached answers")
    options = parser.parse_args()
    redact_output()
    folder = HostFolder(options.folder)
    if options.lock is None:
        lock = folder.lock.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another host already serves this folder
    _run(folder, options)


def _run(folder: HostFolder, options: argparse.Namespace) -> None:
    libraries = threading.Event()
    answers = None if options.answers is None else ResponseCache(options.answers)
    host = Host(ModelCache(libraries, options.memory), answers)
    signal.signal(signal.SIGTERM, lambda *_: host.stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the test run, which then ends its host
    folder.make_socket_folder()
    folder.socket.unlink(missing_ok=True)
    temporary = folder.socket.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    listener = Listener(str(temporary), family="AF_UNIX", backlog=_BACKLOG)
    temporary.rename(folder.socket)  # from now on clients can connect
    threading.Thread(target=accept_forever, args=(listener, host), daemon=True).start()
    threading.Thread(target=_import_early, args=(libraries,), daemon=True).start()
    try:
        removes = () if options.remove is None else (options.remove,)
        Lifetime(folder, options.watch, options.idle, removes).wait(host)
    finally:
        sys.stdout.flush()
        os._exit(0)  # threads can be in the middle of torch's code; none of them needs to finish


def _import_early(done: threading.Event) -> None:
    from modelenv.loading.build import import_libraries

    try:
        import_libraries()
        gc.freeze()  # imported objects live as long as this process
        share_cores()
    finally:
        done.set()


if __name__ == "__main__":
    main()
