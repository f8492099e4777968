"""Ray's object store lies in shared memory: where that is smaller, Ray goes to disk and says so."""

import re
from typing import Any

import pytest

from tests.deploy.manifests import compose, of_kind

_UNITS = {"g": 2**30, "gi": 2**30, "m": 2**20, "mi": 2**20}


def _bytes(size: str) -> int:
    found = re.fullmatch(r"(\d+)([A-Za-z]+)", size)
    assert found is not None, size
    return int(found[1]) * _UNITS[found[2].lower()]


@pytest.mark.parametrize("name", ["ray-head", "ray-node"])
def test_the_store_of_a_container_fits(name: str) -> None:
    service = compose()["services"][name]
    (told,) = [one for one in service["command"] if "object-store-memory" in one]
    assert 0 < int(told.partition("=")[2]) < _bytes(service["shm_size"])


def _groups() -> list[Any]:
    (cluster,) = of_kind("RayCluster")
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


@pytest.mark.parametrize("group", _groups())
def test_the_store_of_a_pod_fits(group: dict[str, Any]) -> None:
    spec = group["template"]["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "shm"]
    assert volume["emptyDir"]["medium"] == "Memory"
    (container,) = spec["containers"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    room = _bytes(volume["emptyDir"]["sizeLimit"])
    assert 0 < int(group["rayStartParams"]["object-store-memory"]) < room
    # It counts as the container's memory; at most half of it may be pictures.
    assert 2 * room <= _bytes(container["resources"]["limits"]["memory"])
