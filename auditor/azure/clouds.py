"""Where Azure is: endpoints, token audiences and sign-in authorities of its clouds, and of a loopback server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from auditor.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cloud:
    """One Azure, or something on this machine that speaks like it."""

    name: str
    arm_endpoint: str
    """Without a slash at the end."""
    scope: str
    """OAuth scope of the token."""
    authority: str
    """Host that signs tokens; "" where none is needed."""

    @property
    def loopback(self) -> bool:
        """True for plain http on this machine: no sign-in, the token is the text of AUDITOR_TOKEN."""
        return urlsplit(self.arm_endpoint).scheme == "http"


_KNOWN = {
    "public": Cloud(
        "public",
        "https://management.azure.com",
        "https://management.azure.com/.default",
        "login.microsoftonline.com",
    ),
    # The audience of US Government differs from its endpoint.
    "usgov": Cloud(
        "usgov",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net/.default",
        "login.microsoftonline.us",
    ),
    "china": Cloud(
        "china",
        "https://management.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
        "login.chinacloudapi.cn",
    ),
}


def cloud(
    name: str | None = None, arm_endpoint: str | None = None, authority: str | None = None, audience: str | None = None
) -> Cloud:
    """Choose a cloud.

    Args:
        name: public, usgov, china or custom; public by default, custom where an endpoint is given.
        arm_endpoint: of a custom cloud; http only on loopback.
        authority: sign-in host of a custom cloud.
        audience: token audience; the endpoint by default.

    Raises:
        UsageError: the words contradict each other, or http leads off this machine.
    """
    if arm_endpoint is None:
        if authority is not None or audience is not None:
            raise UsageError("--authority and --audience are for a cloud of your own", "give its --arm-endpoint too")
        if name == "custom":
            raise UsageError("--cloud custom needs --arm-endpoint", "give the address of its Resource Manager")
        chosen = _KNOWN.get(name or "public")
        if chosen is None:
            raise UsageError(f"--cloud {name}: no such cloud", "one of public, usgov, china, custom")
        return chosen
    if name not in (None, "custom"):
        raise UsageError(f"--arm-endpoint contradicts --cloud {name}", "leave one of them out")
    parts = _address("--arm-endpoint", arm_endpoint)
    endpoint = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if parts.scheme == "http":
        if not on_this_machine(parts.hostname or ""):
            remedy = "use https; plain http is for a server on this machine"
            raise UsageError(f"--arm-endpoint {arm_endpoint}: a token is never sent over plain http", remedy)
        return Cloud("custom", endpoint, "", "")
    scope = f"{(audience or endpoint).rstrip('/')}/.default"
    host = _KNOWN["public"].authority
    if authority:
        host = authority.removeprefix("https://").rstrip("/")
        _address("--authority", f"https://{host}")
    return Cloud("custom", endpoint, scope, host)


def _address(option: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address in them, a port that is none
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{option} {text}: not the URL of a server", "write https://host")
    return parts


def on_this_machine(host: str) -> bool:
    """Tell whether a host name or address never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
