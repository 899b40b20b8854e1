"""Runs a container of a manifest here as its pod would: its own root, mounts, user, rights and variables.

The root is a file system of its own that cannot be written; the machine's programs and this Python are bound into it
read-only, the volumes where the manifest mounts them. Needs root and mount namespaces; `unable` says what is missing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .manifests import DEPLOY, HOME, Manifest

_PROGRAMS = ("unshare", "mount", "chroot", "setpriv", "nsenter", "ip")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_SERVICE = HOME / "examples" / "sentiment_service"
_IMAGE_ENV = re.compile(r"^ENV (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Pod:
    """The pods of one Deployment or Job, on this machine.

    Attributes:
        spec: the pod's part of the manifest.
        root: an empty folder, on which the containers' root is mounted; only the containers see it.
        service: stands for the image's `/service`: the declaration, the lock, the server.
        claim: stands for the persistent volume.
        variables: what a cluster or an image would say besides.
    """

    spec: Manifest
    root: Path
    service: Path
    claim: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, container: Manifest, command: list[str], *, has_network: bool) -> list[str]:
        """Return the command that runs `command` in the container, as its user."""
        security = self.spec["securityContext"]
        groups = f"--groups {security['fsGroup']}" if "fsGroup" in security else "--clear-groups"
        variables = {**self._image_variables(), **self.variables, **_plain(container["env"])}
        given = [f"{name}={value}" for name, value in variables.items()]
        drop = "--bounding-set=-all --inh-caps=-all" if container["securityContext"]["capabilities"] else ""
        words = [
            "exec chroot", shlex.quote(str(self.root)), "setpriv --no-new-privs", drop, groups,
            f"--reuid {security['runAsUser']} --regid {security['runAsGroup']}",
            shlex.join(["env", "-i", "-C", container["workingDir"], *given, *command]),
        ]  # fmt: skip
        script = [
            "set -e",
            *self._mounts(container),
            *([] if has_network else ["ip link set lo up"]),
            " ".join(words),
        ]
        network = [] if has_network else ["--net"]
        return ["unshare", "--mount", *network, "bash", "-c", "\n".join(script)]

    def let_write(self) -> None:
        """Give the volume to the pod's `fsGroup`, as the kubelet does."""
        group = self.spec["securityContext"]["fsGroup"]
        os.chown(self.claim, -1, group)
        self.claim.chmod(0o2775)

    def _mounts(self, container: Manifest) -> Iterator[str]:
        root = shlex.quote(str(self.root))
        yield f"mount -t tmpfs -o mode=755 tmpfs {root}"
        yield f"mkdir {root}/proc {root}/dev {root}/sys"
        yield f"mount --rbind /proc {root}/proc; mount --rbind /sys {root}/sys"
        for device in _DEVICES:
            yield f"touch {root}{device}; mount --bind {device} {root}{device}"
        for mount in sorted(container["volumeMounts"], key=lambda mount: len(mount["mountPath"])):
            yield from self._mount(mount)
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                yield f"ln -s {path.readlink()} {root}{path}"
            elif path.is_dir():
                yield from _bound(path, f"{self.root}{path}", is_read_only=True)
        for path in _python_folders():
            yield from _bound(path, f"{self.root}{path}", is_read_only=True)
        yield from _bound(self.service, f"{self.root}/service", is_read_only=True)
        if container["securityContext"]["readOnlyRootFilesystem"]:
            yield f"mount -o remount,ro {root}"

    def _mount(self, mount: Manifest) -> Iterator[str]:
        [volume] = [volume for volume in self.spec["volumes"] if volume["name"] == mount["name"]]
        target = f"{self.root}{mount['mountPath']}"
        if "emptyDir" in volume:
            quoted = shlex.quote(target)
            yield f"mkdir -p {quoted} && mount -t tmpfs -o mode=777 tmpfs {quoted}"
        else:
            yield from _bound(self.claim, target, is_read_only=mount.get("readOnly", False))

    def _image_variables(self) -> dict[str, str]:
        """Return the image's variables; this Python's programs stand for those of the image."""
        last = _IMAGE_ENV.findall((DEPLOY / "Containerfile").read_text())[-1]
        variables = dict(word.split("=", 1) for word in last.split())
        programs = f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"
        return {**variables, "PATH": programs, "PYTHONPATH": f"{_SERVICE}:{HOME / 'src'}:{HOME}"}


def unable(pod: Pod, container: Manifest) -> str | None:
    """Return why no pod can be run here, or None."""
    if os.geteuid() != 0:
        return "only root may mount file systems and become another user"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = pod.command(container, ["python", "-c", "import modelenv, sentiment_service"], has_network=False)
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    return None if done.returncode == 0 else f"this Python does not run in a root of its own: {done.stderr.strip()}"


def _plain(variables: list[dict[str, Any]]) -> dict[str, str]:
    """Return a container's variables; an optional secret is one that nobody has made."""
    optional = [each["name"] for each in variables if "valueFrom" in each]
    assert all(each["valueFrom"]["secretKeyRef"]["optional"] for each in variables if each["name"] in optional)
    return {each["name"]: each["value"] for each in variables if each["name"] not in optional}


def _bound(source: Path, target: str, *, is_read_only: bool) -> Iterator[str]:
    place = shlex.quote(target)
    yield f"mkdir -p {place} && mount --bind {shlex.quote(str(source))} {place}"
    if is_read_only:
        yield f"mount -o remount,bind,ro {place}"


def _python_folders() -> list[Path]:
    """Return the folders that this Python runs from, none of them within another."""
    wanted = {HOME, Path(sys.prefix), Path(sys.base_prefix), *(Path(name) for name in sys.path if name)}
    found: list[Path] = []
    for path in sorted({path.resolve() for path in wanted if path.is_dir()}, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in (*found, *map(Path, _SYSTEM))):
            found.append(path)
    return found
