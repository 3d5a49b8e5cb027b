"""What an audit holds in memory does not grow with the estate: pages go to disk, and what is asked about later too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditor.collect.rows import Marks
from auditor.collect.subjects import Subjects
from auditor.simulator import Estate
from auditor.simulator.server import Simulator
from tests.audits import AS_OF, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

_READ = """
import asyncio, pathlib, sys
from datetime import UTC, datetime
from auditor import bundle
from auditor.azure import AzureReader, cloud
from auditor.collect import Scope, collect
from auditor.inventory import store

async def main():
    draft = bundle.create(pathlib.Path(sys.argv[2]), datetime(2026, 11, 22, 6, tzinfo=UTC))
    async with AzureReader(cloud(arm_endpoint=sys.argv[1])) as reader:
        await collect(reader, Scope(recovery_points=sys.argv[3]), draft)
    peak("collected")
    draft.close_raw()
    store.build(draft.inventory, draft.pages, draft.as_of)
    peak("built")

def peak(stage):
    (line,) = (it for it in open("/proc/self/status") if it.startswith("VmHWM"))
    print(stage, int(line.split()[1]) / 1024)

asyncio.run(main())
"""


def read_apart(url: str, store: Path, *, points: str = "all") -> dict[str, float]:
    """Collect, then build the tables, in a process of its own; give its peak memory in MiB after each of the two."""
    words = [sys.executable, "-c", _READ, url, str(store), points]
    told = subprocess.run(words, env={**os.environ, "AUDITOR_TOKEN": TOKEN}, check=True, capture_output=True, text=True)
    return {stage: float(peak) for stage, peak in (line.split() for line in told.stdout.splitlines())}


def protected(machines: int) -> Estate:
    """Make an estate of VMs with a disk each, backed up into the vault of their subscription."""
    places = range(10)
    document = {
        "estate": "protected",
        "jobs_days": 0,
        "subscriptions": {f"s{n}": {} for n in places},
        "vaults": {f"s{n}/rg-backup/rsv{n}": {} for n in places},
        "policies": {"std": {"daily": "22:00", "keep": {"daily": "7 Days"}}},
        "vms": [
            {
                "count": machines // len(places),
                "name": "vm{n:06d}",
                "in": f"s{n}/rg",
                "backup": {"vault": f"rsv{n}", "policy": "std"},
            }
            for n in places
        ],
    }
    return Estate.from_dict(document, AS_OF)


@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of one process alone is told by /proc, which only Linux has"
)
def test_memory_does_not_grow_with_the_estate(tmp_path: Path) -> None:
    peaks = {}
    for machines in (4_000, 24_000):
        with Simulator(protected(machines), token=TOKEN, quota=None, page_size=400) as azure:
            peaks[machines] = read_apart(azure.url, tmp_path / str(machines), points="none")
    few, many = peaks[4_000], peaks[24_000]
    # Six times the VMs, each with a disk, an item and their second sources: less than the text of their ids.
    assert (many["collected"] - few["collected"]) * 2**20 / 20_000 < 1024
    assert many["collected"] < 1.25 * few["collected"]
    assert many["built"] < 1.5 * few["built"]


def test_marks_know_every_text_again() -> None:
    marks = Marks()
    texts = [f"/subscriptions/{n % 7}/vm{n}" for n in range(20_000)]
    assert all(marks.add(text) for text in texts)
    assert not any(marks.add(text) for text in texts)
    assert len(marks) == len(texts)


def test_subjects_are_a_mapping_in_order_of_their_subscriptions() -> None:
    written = ["/subscriptions/B/x", "/subscriptions/A/z", "/providers/P", "/subscriptions/A/Y"]
    subjects = Subjects((text.lower(), text) for text in written)
    assert dict(subjects) == {text.lower(): text for text in written}
    assert list(subjects) == ["/providers/p", "/subscriptions/a/y", "/subscriptions/a/z", "/subscriptions/b/x"]
    assert subjects.places() == {"": 1, "a": 2, "b": 1}
    assert list(subjects.of("a")) == ["/subscriptions/a/y", "/subscriptions/a/z"]
    subjects["/subscriptions/a/y"] = "/Subscriptions/A/y"
    assert subjects["/subscriptions/a/y"] == "/Subscriptions/A/y"
    assert subjects.pop("/subscriptions/a/q", None) is None
    del subjects["/subscriptions/a/y"]
    assert "/subscriptions/a/y" not in subjects
    assert subjects.parents("/x") == {"/subscriptions/b"}
