"""How fast tables are built and rules judged. Prints figures; asserts only that the work was done."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

SIZES = [int(size) for size in os.environ.get("BENCH_VMS", "10000,100000").split(",")]
ROOT = Path(__file__).resolve().parents[2]

# Each stage in a process of its own, so that its peak memory is its own.
_WRITE = """
import sys, zstandard, struct
from pathlib import Path
from auditor.inventory import catalogue
from tests.benchmarks import synthetic
folder, vms = Path(sys.argv[1]), int(sys.argv[2])
pages = synthetic.pages(vms)
for table in catalogue.tables():
    pack = zstandard.ZstdCompressor(level=1)
    with (folder / f"{table.name}.pages").open("wb") as out:
        for page in pages(table.name):
            subject, body = (page.subject or "").encode(), pack.compress(page.body)
            out.write(struct.pack("<II", len(subject), len(body)) + subject + body)
"""
_BUILD = """
import sys, struct, time, zstandard
from pathlib import Path
from auditor.inventory import store
from auditor.inventory.store import Page
from tests.benchmarks.synthetic import AS_OF
folder = Path(sys.argv[1])
def pages(table):
    unpack = zstandard.ZstdDecompressor()
    with (folder / f"{table}.pages").open("rb") as file:
        while head := file.read(8):
            subject, body = struct.unpack("<II", head)
            yield Page(file.read(subject).decode() or None, unpack.decompress(file.read(body)))
began = time.perf_counter()
counts = store.build(folder / "inventory", pages, AS_OF)
print(sum(counts.values()), time.perf_counter() - began)
"""
_JUDGE = """
import sys, time
from pathlib import Path
from auditor import inputs
from auditor.engine.evaluate import evaluate
from auditor.inventory.facts import Circumstances, Facts
from auditor.model import Coverage, CoverageState
from tests.benchmarks.synthetic import AS_OF
folder = Path(sys.argv[1])
given = inputs.read()
began = time.perf_counter()
opened = []
evaluate(
    given.book,
    folder / "inventory",
    Circumstances(AS_OF, given.standard),
    folder=folder / "findings",
    tell=lambda _: opened.append(time.perf_counter()),
)
ended = time.perf_counter()
with Facts.open(folder / "inventory", Circumstances(AS_OF, given.standard)) as facts:
    rows = sum(facts.population(rule.file.resource_type) for rule in given.book.rules)
print(rows, opened[0] - began, ended - opened[0])
"""


def stage(program: str, *arguments: str) -> tuple[list[float], float, float]:
    """Run a stage; give what it printed, its CPU seconds and its peak memory in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    # A wrapper reports the peak of just this child.
    code = f"{program}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    *printed, peak = done.stdout.split()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    del began
    return [float(number) for number in printed], cpu, float(peak)


@pytest.mark.parametrize("vms", SIZES)
def test_tables_and_verdicts(tmp_path: Path, vms: int) -> None:
    stage(_WRITE, str(tmp_path), str(vms))
    (objects, seconds), cpu, peak = stage(_BUILD, str(tmp_path))
    print(f"\n{vms:,} VMs: {objects:,.0f} objects into tables in {seconds:.1f} s = {objects / seconds:,.0f}/s")
    print(f"  {cpu:.1f} CPU s, peak {peak:.0f} MiB")
    (rows, opened, judged), cpu, peak = stage(_JUDGE, str(tmp_path))
    print(f"  views {opened:.1f} s, rules {judged:.1f} s for {rows:,.0f} verdicts, findings written")
    print(f"  {cpu:.1f} CPU s, peak {peak:.0f} MiB")
    assert objects > vms * 35
    assert rows > vms * 15
