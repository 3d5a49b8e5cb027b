"""Holds two sets of findings against each other, verdict by verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.inventory.database import connect
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 3
"""Differing resources that are named per rule."""


def differences(sealed: Path, again: Path) -> list[str]:
    """Say which verdicts differ between two folders of `<rule>.parquet`; empty where none does."""
    rules = {path.stem for path in sealed.glob("*.parquet")}
    others = {path.stem for path in again.glob("*.parquet")}
    found = [f"rule {name} was judged in only one of the two" for name in sorted(rules ^ others)]
    with connect() as con:
        for name in sorted(rules & others):
            files = (quote(str(folder / f"{name}.parquet")) for folder in (sealed, again))
            one, two = (f"(SELECT resource_id, status, severity, reason FROM read_parquet({file}))" for file in files)
            rows = con.execute(
                f"SELECT DISTINCT resource_id FROM (({one} EXCEPT {two}) UNION ALL ({two} EXCEPT {one})) ORDER BY 1"
            ).fetchall()
            if rows:
                shown = ", ".join(row[0] for row in rows[:_SHOWN])
                found.append(f"rule {name}: {len(rows)} verdicts differ: {shown}{' …' if len(rows) > _SHOWN else ''}")
    return found
