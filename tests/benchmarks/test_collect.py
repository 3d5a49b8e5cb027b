"""What collecting costs: memory by the size of the estate, and time against what Resource Graph's quota allows."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from auditor.simulator.quota import Quota
from auditor.simulator.server import Simulator
from tests.audits import TOKEN
from tests.azure.test_memory import protected, read_apart
from tests.azure.test_scale import estate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditor.simulator import Estate

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("make", [estate, protected])
def test_memory_by_the_size_of_the_estate(make: Callable[[int], Estate], tmp_path: Path) -> None:
    peaks = {}
    for machines in (1_000, 5_000, 50_000):
        with Simulator(make(machines), token=TOKEN, quota=None, page_size=1000) as azure:
            peaks[machines] = read_apart(azure.url, tmp_path / str(machines), points="none")
        print(f"\n{machines} VMs: peak MiB {peaks[machines]}")
    for stage in ("collected", "built"):
        few, many = peaks[5_000][stage], peaks[50_000][stage]
        each = (many - few) / 45_000 * 1024
        print(f"{stage}: ten times the VMs take {many / few:.2f} times the memory, {each:.2f} KiB each VM")


def test_time_against_the_quota(tmp_path: Path) -> None:
    with Simulator(estate(6_000), token=TOKEN, quota=Quota(), page_size=5000) as azure:
        read_apart(azure.url, tmp_path)
        sent = [request.at for request in azure.graph_requests()]
        refused = sum(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in azure.log)
    bound, asking = (math.ceil(len(sent) / 15) - 1) * 5.0, max(sent) - min(sent)
    print(f"\n{len(sent)} queries in {asking:.1f} s where the quota allows {bound:.1f} s: {asking / bound:.2f} times, "
          f"{refused} refused")  # fmt: skip
