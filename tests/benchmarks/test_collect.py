"""What collecting costs: memory by the size of the estate, and time against what Resource Graph's quota allows."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from auditor.simulator.quota import Quota
from auditor.simulator.server import Simulator
from tests.audits import TOKEN
from tests.azure.test_scale import estate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.benchmark

MEASURED = """
import asyncio, pathlib, sys
from datetime import UTC, datetime
from auditor import bundle
from auditor.azure import AzureReader, cloud
from auditor.collect import Scope, collect
from auditor.inventory import store

async def main():
    draft = bundle.create(pathlib.Path(sys.argv[2]), datetime(2026, 11, 22, 6, tzinfo=UTC))
    async with AzureReader(cloud(arm_endpoint=sys.argv[1])) as reader:
        await collect(reader, Scope(), draft)
    peak("collected")
    draft.close_raw()
    store.build(draft.inventory, draft.pages, draft.as_of)
    peak("built")

def peak(stage):
    (line,) = (it for it in open("/proc/self/status") if it.startswith("VmHWM"))
    print(stage, int(line.split()[1]) // 1024)

asyncio.run(main())
"""


def collected(url: str, store: Path) -> dict[str, int]:
    """Collect in a process of its own; give its peak memory in MiB after each stage."""
    words = [sys.executable, "-c", MEASURED, url, str(store)]
    told = subprocess.run(words, env={**os.environ, "AUDITOR_TOKEN": TOKEN}, check=True, capture_output=True, text=True)
    return {stage: int(peak) for stage, peak in (line.split() for line in told.stdout.splitlines())}


def test_memory_by_the_size_of_the_estate(tmp_path: Path) -> None:
    peaks = {}
    for machines in (1_000, 10_000, 50_000):
        with Simulator(estate(machines), token=TOKEN, quota=None, page_size=1000) as azure:
            peaks[machines] = collected(azure.url, tmp_path / str(machines))
        print(f"\n{machines} VMs: peak MiB {peaks[machines]}")
    print(f"50 times the VMs: {peaks[50_000]['built'] / peaks[1_000]['built']:.2f} times the memory")


def test_time_against_the_quota(tmp_path: Path) -> None:
    with Simulator(estate(6_000), token=TOKEN, quota=Quota(), page_size=5000) as azure:
        collected(azure.url, tmp_path)
        sent = [request.at for request in azure.graph_requests()]
        refused = sum(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in azure.log)
    bound, asking = (math.ceil(len(sent) / 15) - 1) * 5.0, max(sent) - min(sent)
    print(f"\n{len(sent)} queries in {asking:.1f} s where the quota allows {bound:.1f} s: {asking / bound:.2f} times, "
          f"{refused} refused")  # fmt: skip
