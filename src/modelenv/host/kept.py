"""The hosts of this user that are kept between runs."""

from __future__ import annotations

from collections.abc import Iterator

from modelenv.host.client import HostClient
from modelenv.host.folder import HostFolder, hosts_folder
from modelenv.host.messages.protocol import HostStatus


def kept_hosts() -> Iterator[tuple[HostClient, HostStatus]]:
    """Yield each kept host that runs, with what it holds."""
    folder = hosts_folder()
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        client = HostClient(HostFolder(path))
        status = client.status()
        if status is not None:
            yield client, status
