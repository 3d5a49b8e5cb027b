"""Takes secrets out of response bodies before they are written: SAS signatures, keys, passwords."""

from __future__ import annotations

import re

REMOVED = b"(removed)"

_SECRETS = (
    re.compile(rb"(?i)([?&;]sig=)[^&\"\\\s]+"),
    re.compile(rb"(?i)((?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;\"\\\s]+"),
    re.compile(
        rb"(?i)(\"(?:adminPassword|password|secret|clientSecret|accessKey|primaryKey|secondaryKey|sasUri|sasToken|"
        rb"customData|protectedSettings|connectionString|serviceUri|callbackUrl|httpTriggerUrl)\"\s*:\s*\")[^\"]+"
    ),
)


def scrub(body: bytes) -> bytes:
    """Give the body without secrets; the very same bytes where there are none."""
    for secret in _SECRETS:
        body = secret.sub(rb"\g<1>" + REMOVED, body)
    return body
