"""Who asks: the credential that signs requests, and what its token says of its owner."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity.aio import DefaultAzureCredential
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from auditor.errors import NoRunError, UsageError

if TYPE_CHECKING:
    from typing import Self

    from azure.core.credentials import AccessToken
    from azure.core.pipeline import PipelineRequest

    from auditor.azure.clouds import Cloud

TOKEN_VARIABLE = "AUDITOR_TOKEN"  # noqa: S105 - the name of a variable


class LoopbackToken(SansIOHTTPPolicy[Any, Any]):
    """Sends the text of AUDITOR_TOKEN; azure-core's own policy refuses any token over http, rightly, elsewhere."""

    def __init__(self, token: str) -> None:
        """Keep the token."""
        self._header = f"Bearer {token}"

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Sign the request."""
        request.http_request.headers["Authorization"] = self._header


class SignIn:
    """A credential, the policy that uses it, and the identity behind it."""

    def __init__(self, cloud: Cloud, tenant: str | None = None) -> None:
        """Prepare a sign-in; nothing is asked yet.

        Raises:
            UsageError: a loopback endpoint without AUDITOR_TOKEN.
        """
        self._cloud, self._tenant = cloud, tenant
        self._credential: DefaultAzureCredential | None = None
        self.identity: dict[str, Any] = {}
        if cloud.loopback:
            token = os.environ.get(TOKEN_VARIABLE)
            if token and not (token.isascii() and token.isprintable()):
                said = f"{TOKEN_VARIABLE} holds a line end or another character that no token has"
                raise UsageError(said, "set it without what stands around the token")
            if not token:
                remedy = "set it to the token that the server on this machine accepts"
                raise UsageError(f"{TOKEN_VARIABLE} is not set", remedy)
            self._token = token
        else:
            try:
                self._credential = DefaultAzureCredential(
                    authority=cloud.authority,
                    exclude_interactive_browser_credential=True,
                    # Credentials speak for their home tenant alone unless told that another one is meant.
                    additionally_allowed_tenants=[tenant] if tenant else [],
                )
            except ValueError as error:  # an authority that is no host, an odd AZURE_TOKEN_CREDENTIALS
                raise UsageError(f"no sign-in can be prepared: {error}", "check --authority and AZURE_*") from error

    async def sign_in(self) -> None:
        """Get a first token and read who it speaks for.

        Raises:
            NoRunError: nobody could sign in.
        """
        if self._credential is None:
            self.identity = {"type": "token of a server on this machine"}
            return
        try:
            options = {"tenant_id": self._tenant} if self._tenant else {}
            token = await self._credential.get_token(self._cloud.scope, **options)
        except AzureError as error:  # refused, no credential here, or no way to the authority
            said = (str(error).splitlines() or [type(error).__name__])[0]
            remedy = "run `az login`, or give a managed or workload identity; see docs/permissions.md"
            raise NoRunError(f"could not sign in to {self._cloud.authority}: {said}", remedy) from error
        self.identity = _owner(token)

    def policy(self) -> Any:
        """Give the pipeline policy that signs requests; one for each client."""
        if self._credential is None:
            return LoopbackToken(self._token)
        # It answers a 401 in mid-run that carries a challenge (continuous access evaluation) with a new token, once.
        return AsyncARMChallengeAuthenticationPolicy(_ForTenant(self._credential, self._tenant), self._cloud.scope)

    @property
    def credential(self) -> Any:
        """Give what the SDK's clients want as a credential; requests are signed by `policy`."""
        return self._credential or _Nobody()

    async def close(self) -> None:
        """Release the credential's connections."""
        if self._credential is not None:
            await self._credential.close()


class _ForTenant:
    """Asks for tokens of one tenant, where the user named one."""

    def __init__(self, credential: DefaultAzureCredential, tenant: str | None) -> None:
        self._credential, self._tenant = credential, tenant

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        if self._tenant:
            options.setdefault("tenant_id", self._tenant)
        return await self._credential.get_token(*scopes, **options)

    async def close(self) -> None:
        """Leave the shared credential open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the shared credential open."""


class _Nobody:
    """Satisfies the clients' constructors on loopback; never asked, because LoopbackToken signs."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        raise NoRunError("a loopback endpoint asked for a token of Azure", "this is a fault of the auditor")


def _owner(token: AccessToken) -> dict[str, Any]:
    """Read the claims of a token; no signature is checked, Azure does that."""
    try:
        middle = token.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    wanted = {
        "object_id": "oid",
        "app_id": "appid",
        "name": "name",
        "user": "upn",
        "tenant_id": "tid",
        "type": "idtyp",
    }
    return {name: claims[claim] for name, claim in wanted.items() if claims.get(claim)}
