"""Where `rules/`, `report_templates/` and `samples/` are: beside the package in a wheel, at the root in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    # A checkout wins: an editable install also leaves a stale copy of these folders in site-packages,
    # but __file__ is then the checkout, so looking beside it first and above it second never meets the copy.
    for base in (_PACKAGE / "_assets", _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    message = f"the installation is damaged: {name}/ is missing beside {_PACKAGE}"
    raise FileNotFoundError(message)


def rules() -> Path:
    """Give the folder of the shipped rules, standards and frameworks."""
    return _folder("rules")


def templates() -> Path:
    """Give the folder of the report templates."""
    return _folder("report_templates")


def samples() -> Path:
    """Give the folder of sample estates and configurations."""
    return _folder("samples")
