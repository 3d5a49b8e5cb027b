"""The identity of a finding over all runs: one rule on one resource."""

from __future__ import annotations

import hashlib


def fingerprint(rule: str, resource_id: str) -> str:
    """Give sha256hex(rule, newline, lower-cased resource id)."""
    return hashlib.sha256(f"{rule}\n{resource_id.lower()}".encode("utf-8", "surrogatepass")).hexdigest()
