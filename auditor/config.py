"""auditor.yaml: the long options of the command line, written down; unknown keys are errors with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from auditor.document import load
from auditor.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = Path("auditor.yaml")

Texts = Annotated[
    list[Annotated[str, BeforeValidator(str)]], BeforeValidator(lambda v: v if isinstance(v, list) else [v])
]


class Config(BaseModel):
    """What the file may say. Each key is a long option with underscores; flags and AUDITOR_* variables win over it."""

    model_config = ConfigDict(extra="forbid")

    subscription: Texts = Field(default=[], description="subscriptions to audit, by id or name")
    management_group: Texts = Field(default=[], description="management groups whose subscriptions are audited")
    tenant: str | None = Field(default=None, description="tenant to sign in to")
    exclude_subscription: Texts = Field(default=[], description="subscriptions left out of the population")
    expect_subscriptions: int | str | None = Field(
        default=None, description="file with the subscriptions that should be readable, or their number"
    )
    cloud: Literal["public", "usgov", "china", "custom"] | None = None
    arm_endpoint: str | None = None
    authority: str | None = None
    audience: str | None = None
    standard: str | None = Field(
        default=None, description="data-protection standard; the shipped hybrid one by default"
    )
    waivers: str | None = Field(default=None, description="waiver register")
    responses: str | None = Field(default=None, description="management's responses to findings")
    rules: Texts = Field(default=[], description="folders with rules of your own")
    store: str | None = Field(default=None, description="folder of the bundles")
    report: Texts = Field(default=[], description="KIND or KIND=PATH")
    fail_on: Literal["critical", "high", "medium", "low", "none"] | None = None
    exit_zero: bool = False
    allow_incomplete: Texts = Field(default=[], description="coverage gaps that do not cause exit 3")
    deadline: Annotated[str, Field(pattern="^[1-9][0-9]*(min|h)$")] | None = Field(
        default=None, description="ask nothing any more after so long: 90min, 4h"
    )
    recovery_points: Annotated[str, Field(pattern="^(all|changed|none|sample:[1-9][0-9]*)$")] | None = None
    all_rows: bool = False
    pdf_all: bool = Field(default=False, description="every finding and VM in the PDF, however many pages that takes")
    framework: str | None = Field(default=None, description="the one framework that the pdf is for; all by default")
    redact: bool = Field(default=False, description="pseudonyms for persons in the reports")
    redact_key: str | None = Field(default=None, description="key file of the pseudonyms; in the store by default")
    language: str | None = Field(default=None, description="language of the reports: en, de")
    templates: str | None = Field(default=None, description="folder with templates and texts of your own")
    sign: str | None = Field(default=None, description="PKCS #12 file with the key that signs the PDF")
    sign_password_file: str | None = Field(default=None, description="file with the password of that file")
    sign_key_vault: str | None = Field(default=None, description="id of a key in Azure Key Vault that signs the PDF")
    timestamp: str | None = Field(default=None, description="URL of an RFC 3161 service that says when it was signed")
    organisation: str | None = Field(default=None, description="name on the reports")
    classification: str | None = Field(default=None, description="label on the reports")


_PATHS = (
    "standard", "waivers", "responses", "rules", "store", "expect_subscriptions", "templates", "redact_key", "sign",
    "sign_password_file",
)  # fmt: skip


def _placed(report: str, folder: Path) -> str:
    """Take the path of `KIND=PATH` from the configuration's folder."""
    kind, _, place = report.partition("=")
    return f"{kind}={folder / place}" if place else report


def read(path: Path) -> Mapping[str, Any]:
    """Read a configuration: option name -> value, with relative paths taken from the file's own folder.

    Raises:
        DocumentError: each fault with file and line.
    """
    document = load(path)
    if document.data is None:
        return {}
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(document.faults(error, Config)) from error
    given = config.model_dump(include=config.model_fields_set)
    for name in _PATHS:
        value = given.get(name)
        if isinstance(value, list):
            given[name] = [str(path.parent / item) for item in value]
        elif isinstance(value, str) and not (name == "expect_subscriptions" and value.isdigit()):
            given[name] = str(path.parent / value)
    if "report" in given:
        given["report"] = [_placed(text, path.parent) for text in given["report"]]
    if isinstance(given.get("expect_subscriptions"), int):
        given["expect_subscriptions"] = str(given["expect_subscriptions"])
    return given
