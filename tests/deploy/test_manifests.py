"""The manifests are valid, complete, safe, and agree with each other and with the image."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from .manifests import DEPLOY, HOME, VARIANTS, broken_rules, containers, pod_of, resolve, the

VERSIONS = ("1.31", "1.34", "1.37")
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", ["base", *VARIANTS])
@pytest.mark.slow
def test_every_manifest_is_valid(variant: str, version: str) -> None:
    for manifest in resolve(DEPLOY / variant):
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_the_validation_finds_a_misspelt_key() -> None:
    manifest = the("Deployment", "job")
    manifest["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readyProbe"):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("variant", ["base", *VARIANTS])
def test_kustomize_makes_the_same_of_it(variant: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(DEPLOY / variant)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    def by_name(manifests: Any) -> list[str]:
        return sorted(json.dumps(manifest, sort_keys=True) for manifest in manifests)

    assert by_name(yaml.safe_load_all(done.stdout)) == by_name(resolve(DEPLOY / variant))


def test_the_kustomization_in_the_documentation_names_image_and_namespace(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    documentation = (HOME / "docs" / "deploy.md").read_text()
    [text] = re.findall(r"^```yaml\n# production/kustomization.yaml\n(.*?)^```$", documentation, re.M | re.S)
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "kustomization.yaml").write_text(text)
    command = ["kubectl", "kustomize", str(tmp_path / "production")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    manifests = list(yaml.safe_load_all(done.stdout))
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"markets"}
    pods = [pod for manifest in manifests if (pod := pod_of(manifest)) is not None]
    assert len(pods) == 2
    assert {each["image"] for pod in pods for each in containers(pod)} == {
        "registry.example.org/sentiment-service:0.1.0"
    }


def test_pods_of_two_images_never_fill_one_volume_at_once() -> None:
    assert the("Deployment", "init-container")["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_manifest_names_a_namespace_and_each_is_there_once(variant: str) -> None:
    manifests = resolve(DEPLOY / variant)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert not [manifest for manifest in manifests if "namespace" in manifest["metadata"]]
    job = {("Job", "fill-models")} if variant != "init-container" else set()
    assert set(names) == {
        ("PersistentVolumeClaim", "models"), ("Deployment", "sentiment-service"), ("Service", "sentiment-service"),
    } | job  # fmt: skip


def test_every_file_of_the_folder_is_used() -> None:
    named = set(DEPLOY.rglob("kustomization.yaml"))
    for path in list(named):
        content = yaml.safe_load(path.read_text())
        named |= {path.parent / name for name in content["resources"] if name.endswith(".yaml")}
        named |= {path.parent / patch["path"] for patch in content.get("patches", [])}
    assert named == set(DEPLOY.rglob("*.yaml"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_pod_breaks_a_rule(variant: str) -> None:
    pods = [pod for manifest in resolve(DEPLOY / variant) if (pod := pod_of(manifest)) is not None]
    assert [list(broken_rules(pod)) for pod in pods] == [[] for _ in pods]


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("securityContext", "runAsNonRoot"), False, "pod: runAsNonRoot"),
        (("securityContext", "runAsUser"), 0, "pod: runAsUser"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "pod: seccompProfile"),
        (("automountServiceAccountToken",), True, "pod: automountServiceAccountToken"),
        (("hostNetwork",), True, "pod: hostNetwork"),
        (("volumes", 1), {"name": "tmp", "hostPath": {"path": "/tmp"}}, "pod: hostPath"),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False, "server: readOnlyRootFilesystem"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "server: allowPrivilegeEscalation"),
        (("containers", 0, "securityContext", "capabilities"), {}, "server: capabilities"),
        (("containers", 0, "securityContext", "privileged"), True, "server: overrides privileged"),
        (("containers", 0, "resources", "limits"), {"cpu": 1}, "server: limits memory"),
        (("containers", 0, "volumeMounts", 0, "readOnly"), False, "server: may write /app/models"),
    ],
)
def test_the_rules_find_what_breaks_them(path: tuple[Any, ...], value: Any, rule: str) -> None:
    pod = copy.deepcopy(the("Deployment", "job")["spec"]["template"]["spec"])
    place = pod
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert rule in list(broken_rules(pod))


def test_job_and_init_container_are_the_same_container() -> None:
    job, deployment = pod_of(the("Job", "job")), pod_of(the("Deployment", "init-container"))
    assert job is not None
    assert deployment is not None
    assert deployment["initContainers"] == job["containers"]
    assert deployment["securityContext"] == job["securityContext"]
    assert deployment["volumes"] == job["volumes"]


def test_the_hub_layout_differs_in_the_command_and_in_one_variable() -> None:
    for kind in ("Job", "Deployment"):
        plain, hub = pod_of(the(kind, "job")), pod_of(the(kind, "hub-layout"))
        assert plain is not None
        assert hub is not None
        [container], [other] = plain["containers"], hub["containers"]
        if kind == "Job":
            container["command"] += ["--layout", "hub"]
        else:
            container["env"].append({"name": "HF_HUB_CACHE", "value": "/app/models"})
        assert hub == plain
        assert other == container


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_names_that_manifests_use_of_each_other_exist(variant: str) -> None:
    deployment, service = the("Deployment", variant), the("Service", variant)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    server = deployment["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"] for port in server["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert {server[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} <= ports
    for manifest in resolve(DEPLOY / variant):
        pod = pod_of(manifest)
        if pod is None:
            continue
        claims = {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if len(each) > 1 and
                  "persistentVolumeClaim" in each}  # fmt: skip
        assert claims == {the("PersistentVolumeClaim", variant)["metadata"]["name"]}
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]} == volumes
        assert (
            not labels.items() <= manifest["spec"]["template"]["metadata"]["labels"].items() or manifest == deployment
        )


def test_the_image_is_what_the_manifests_expect() -> None:
    words = [line.split(maxsplit=1) for line in CONTAINERFILE.splitlines() if line and line[0].isupper()]
    last = dict(words)
    pod = pod_of(the("Deployment", "job"))
    assert pod is not None
    [server] = pod["containers"]
    assert json.loads(last["CMD"]) == server["command"]
    assert last["WORKDIR"] == server["workingDir"]
    assert last["USER"] == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert last["EXPOSE"] == str(server["ports"][0]["containerPort"])
    assert f"-t {server['image']} " in CONTAINERFILE
    for word, rest in words:
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            assert all((HOME / source).exists() for source in sources), rest


def test_the_image_has_torch_without_cuda_in_the_version_that_is_tested() -> None:
    assert "ARG PIP_EXTRA_INDEX_URL" in CONTAINERFILE
    [install] = [line for line in CONTAINERFILE.splitlines() if "pip install" in line]
    assert " -c /source/constraints.txt " in install
    assert "torch==" in (HOME / "tests" / "constraints.txt").read_text()


def test_the_declared_models_are_those_of_the_service() -> None:
    declared = tomllib.loads((DEPLOY / "service" / "pyproject.toml").read_text())["tool"]["modelenv"]["models"]
    collector = (HOME / "examples/sentiment_service/sentiment_service/collector.py").read_text()
    for alias, model in declared.items():
        assert f'{alias.upper()}_MODEL = "{model["repo"]}"' in collector
