"""The Kubernetes manifests: valid by Kubernetes' own schemas, and consistent with each other."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from opsin.settings import Settings
from tests.deploy.manifests import KUBERNETES, of_kind, pod_templates, resources

OPERATORS = {"ray.io/v1", "monitoring.coreos.com/v1", "kustomize.config.k8s.io/v1beta1"}
"""Of which Kubernetes knows no schema; pods inside of them are checked like all others."""

OWN = [(path, one) for path, one in resources() if one["apiVersion"] not in OPERATORS]


@pytest.mark.parametrize(
    ("path", "resource"), OWN, ids=[f"{path}:{one['kind']}" for path, one in OWN]
)
def test_every_resource_is_one_of_kubernetes(path: str, resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(("name", "template"), pod_templates())
def test_every_pod_is_valid_and_restricted(name: str, template: dict[str, Any]) -> None:
    """As the namespace demands: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", **template.get("metadata", {})},
        "spec": template["spec"],
    }
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    around = template["spec"]["securityContext"]
    assert (around["runAsNonRoot"], around["runAsUser"]) == (True, 10001)
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in template["spec"]["containers"]:
        inside = container["securityContext"]
        assert (inside["allowPrivilegeEscalation"], inside["capabilities"]) == (
            False,
            {"drop": ["ALL"]},
        )
        assert {"requests", "limits"} <= container["resources"].keys()
        if not name.startswith("RayCluster"):  # Ray writes below /tmp/ray, wherever that is
            assert inside["readOnlyRootFilesystem"]
            assert {"/tmp", "/data"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_everything_that_is_referred_to_is_there() -> None:
    named = {(one["kind"], one["metadata"]["name"]) for _, one in resources() if "metadata" in one}
    missing = []
    for name, template in pod_templates():
        spec = template["spec"]
        wanted = [
            ("ServiceAccount", account)
            for account in [spec.get("serviceAccountName")]
            if account is not None
        ]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        wanted += [
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            for volume in volumes.values()
            if "persistentVolumeClaim" in volume
        ]
        for container in spec["containers"]:
            for source in container.get("envFrom", []):
                (kind, reference), *_ = source.items()
                wanted.append((_KINDS[kind], reference["name"]))
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys(), name
        missing += [(name, one) for one in wanted if one not in named]
    assert missing == []


_KINDS = {"configMapRef": "ConfigMap", "secretRef": "Secret"}


def test_selectors_find_the_pods_that_are_meant() -> None:
    components = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]
        for _, template in pod_templates()
    }
    for path, one in resources():
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector") or {}
        labels = selector.get("matchLabels", selector if one["kind"] == "Service" else {})
        if component := labels.get("app.kubernetes.io/component"):
            assert component in components, path
    (deployment,) = (d for d in of_kind("Deployment") if d["metadata"]["name"] == "opsin-api")
    (service,) = of_kind("Service")
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    names = {p["name"] for c in template["spec"]["containers"] for p in c["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


@pytest.mark.parametrize("name", ["opsin-api", "opsin-worker"])
def test_a_pod_has_time_to_drain(name: str) -> None:
    (deployment,) = (d for d in of_kind("Deployment") if d["metadata"]["name"] == name)
    spec = deployment["spec"]["template"]["spec"]
    (settings,) = of_kind("ConfigMap")
    pause = (
        spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
    )
    drain = float(settings["data"]["OPSIN_DRAIN_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] >= pause["seconds"] + drain + 10


def test_probes_ask_for_what_the_server_has() -> None:
    (deployment,) = (d for d in of_kind("Deployment") if d["metadata"]["name"] == "opsin-api")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in _PROBES}
    assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}
    (port,) = container["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default


_PROBES = ("startup", "liveness", "readiness")


def test_every_file_is_in_a_kustomization() -> None:
    for path in KUBERNETES.rglob("kustomization.yaml"):
        listed = set(yaml.safe_load(path.read_text("utf-8"))["resources"])
        beside = {p.name for p in path.parent.glob("*.yaml")}
        # What holds secrets is applied by hand, filled in.
        beside -= {"kustomization.yaml", "secret.example.yaml"}
        assert {one for one in listed if not one.startswith("..")} == beside
