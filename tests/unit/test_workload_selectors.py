"""What workload selectors come to in the kernel: the matrix of pods, containers and the host."""

from __future__ import annotations

import pytest

from lictor.errors import LictorError
from lictor.policy.plan import LabelRule, Workload
from lictor.sensors.workloads import CONTAINER, POD, kinds

HOST, BOTH = 0, POD | CONTAINER
LABEL = LabelRule(key="app", operator="Exists")


@pytest.mark.parametrize(
    ("workload", "wanted"),
    [
        (Workload(host=True), (HOST,)),
        (Workload(pods=()), (POD, BOTH)),
        (Workload(containers=()), (CONTAINER, BOTH)),
        (Workload(pods=(), containers=()), (BOTH,)),
        (Workload(host=True, pods=()), (HOST, POD, BOTH)),
        (Workload(host=True, containers=()), (HOST, CONTAINER, BOTH)),
        (Workload(host=True, pods=(), containers=()), (HOST, BOTH)),
    ],
)
def test_kinds(workload: Workload, wanted: tuple[int, ...]) -> None:
    assert kinds(workload) == wanted


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        (Workload(pods=(LABEL,)), "labels of pods"),
        (Workload(containers=(LABEL,)), "names and images of containers"),
        (Workload(namespace="shop"), "the namespace shop"),
    ],
)
def test_what_only_a_cluster_knows_is_refused(workload: Workload, says: str) -> None:
    with pytest.raises(LictorError, match=f"{says}.*API server"):
        kinds(workload)
