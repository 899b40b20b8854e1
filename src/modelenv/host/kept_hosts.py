"""Finds this user's kept hosts, which stay alive between runs."""

from __future__ import annotations

from collections.abc import Iterator

from modelenv.errors import ModelHostError
from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder, hosts_folder
from modelenv.host.messages.protocol import HostStatus


def kept_hosts() -> Iterator[tuple[HostClient, HostStatus]]:
    """Yield a client and the status of each kept host that is running.

    Raises:
        ModelHostError: The folder of the hosts belongs to another user.
    """
    folder = hosts_folder()
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ModelHostError(
            "the folder of the model hosts cannot be read",
            found=f"{folder}: {error.strerror}",
            hint="set TMPDIR to a folder of your own, here and where pytest runs",
        ) from error
    for path in paths:
        client = HostClient(HostFolder(path))
        status = client.status()
        if status is not None:
            yield client, status
