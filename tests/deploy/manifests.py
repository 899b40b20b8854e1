"""Reads `deploy/`: the little of kustomize that it uses, and the rules that every pod must keep."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HOME = Path(__file__).resolve().parents[2]
DEPLOY = HOME / "deploy"
VARIANTS = ("job", "init-container", "hub-layout")
_KNOWN = {"apiVersion", "kind", "resources", "patches"}
Manifest = dict[str, Any]


def resolve(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder with a kustomization, as `kubectl kustomize` prints them."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) <= _KNOWN, f"{folder}: this reader knows only {_KNOWN}"
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += resolve(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for patch in kustomization.get("patches", []):
        wanted = patch["target"]
        [target] = [each for each in found if (each["kind"], each["metadata"]["name"]) == tuple(wanted.values())]
        for operation in yaml.safe_load((folder / patch["path"]).read_text()):
            _add(target, operation)
    return found


def _add(target: Manifest, operation: dict[str, Any]) -> None:
    assert operation["op"] == "add", operation
    *parents, last = operation["path"].strip("/").split("/")
    place: Any = target
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    if last == "-":
        place.append(copy.deepcopy(operation["value"]))
    else:
        place[last] = copy.deepcopy(operation["value"])


def pod_of(manifest: Manifest) -> Manifest | None:
    """Return the specification of the pods that a manifest makes; None if it makes none."""
    return manifest["spec"]["template"]["spec"] if manifest["kind"] in ("Deployment", "Job") else None


def the(kind: str, variant: str) -> Manifest:
    """Return the one manifest of this kind."""
    [found] = [manifest for manifest in resolve(DEPLOY / variant) if manifest["kind"] == kind]
    return found


def containers(pod: Manifest) -> list[Manifest]:
    """Return the containers of a pod, those that run first first."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def broken_rules(pod: Manifest) -> Iterator[str]:
    """Yield the rules that a pod breaks: the restricted ones of the Pod Security Standards, and some of our own."""
    security = pod.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    yield from (f"pod: {key}" for key, value in wanted.items() if security.get(key) != value)
    yield from (f"pod: {key}" for key in ("runAsUser", "runAsGroup") if not security.get(key))
    yield from (f"pod: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    if pod.get("automountServiceAccountToken") is not False:
        yield "pod: automountServiceAccountToken"
    kinds = {volume["name"]: next(key for key in volume if key != "name") for volume in pod["volumes"]}
    yield from (f"pod: {kind}" for kind in set(kinds.values()) - {"persistentVolumeClaim", "emptyDir"})
    for container in containers(pod):
        yield from (f"{container['name']}: {rule}" for rule in _broken_by(container, kinds))


def _broken_by(container: Manifest, kinds: dict[str, str]) -> Iterator[str]:
    security = container.get("securityContext", {})
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    yield from (key for key, value in wanted.items() if security.get(key) != value)
    yield from (f"overrides {key}" for key in ("runAsUser", "runAsNonRoot", "privileged") if key in security)
    resources = container.get("resources", {})
    for what in ("requests", "limits"):
        yield from (f"{what} {unit}" for unit in ("cpu", "memory") if unit not in resources.get(what, {}))
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    fills = "pull" in container["command"]
    yield from (f"may write {path}" for path in writable - {"/tmp"} if not fills or path != "/app/models")
    yield from (
        f"{mount['mountPath']} is no emptyDir"
        for mount in container["volumeMounts"]
        if mount["mountPath"] == "/tmp" and kinds[mount["name"]] != "emptyDir"
    )
