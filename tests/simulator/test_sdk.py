"""The real Azure SDKs read the simulator as they read Azure."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.policyinsights.aio import PolicyInsightsClient
from azure.mgmt.recoveryservicesbackup.aio import RecoveryServicesBackupClient
from azure.mgmt.resourcegraph.aio import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from auditor.simulator import Estate, Faults, Simulator
from tests.simulator.wire import AS_OF, MACHINES, small

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from azure.core.pipeline import PipelineRequest


class Sign(SansIOHTTPPolicy[Any, Any]):
    """Puts the loopback token on; azure-core's own policy refuses plain http."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = "Bearer simulator"


class NoCredential:
    """Never asked: the authentication policy is replaced."""

    async def get_token(self, *_scopes: str, **_options: Any) -> Any:
        raise AssertionError

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to leave."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture(scope="module")
def paged() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(small(7), AS_OF), quota=None, page_size=3) as simulator:
        yield simulator


def options(simulator: Simulator) -> dict[str, Any]:
    return {"base_url": simulator.url, "authentication_policy": Sign(), "credential_scopes": ["none"]}


def test_resource_graph_pages(paged: Simulator) -> None:
    async def work() -> tuple[list[str], set[Any]]:
        names: list[str] = []
        totals = set()
        async with ResourceGraphClient(NoCredential(), **options(paged)) as client:
            token = None
            while True:
                chosen = QueryRequestOptions(top=4, skip_token=token, result_format="objectArray")
                page = await client.resources(QueryRequest(query=MACHINES, options=chosen))
                rows: Any = page.data
                names += [row["name"] for row in rows]
                totals.add((page.total_records, page.result_truncated))
                token = page.skip_token
                if not token:
                    return names, totals

    names, totals = run(work())
    assert len(set(names)) == 9
    assert totals == {(9, "false")}


def test_a_graph_error_has_its_code_and_details(paged: Simulator) -> None:
    async def work() -> None:
        async with ResourceGraphClient(NoCredential(), **options(paged)) as client:
            # Raw bytes are how fields that the model lacks are sent.
            body: Any = json.dumps({"query": "nowhere"}).encode()
            await client.resources(body, api_version="2024-04-01")

    with pytest.raises(HttpResponseError) as caught:
        run(work())
    assert caught.value.status_code == 400
    assert caught.value.error is not None
    assert caught.value.error.code == "BadRequest"
    assert caught.value.error.details[-1].code == "DisallowedLogicalTableName"


def test_backup_lists_items_points_policies_and_configurations(paged: Simulator) -> None:
    async def work() -> dict[str, Any]:
        seen: dict[str, Any] = {}
        where = {"vault_name": "rsv-1", "resource_group_name": "rg-backup"}
        subscription = paged.estate.subscription_id("b")
        async with RecoveryServicesBackupClient(NoCredential(), subscription, **options(paged)) as client:
            kind = "backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'"
            seen["items"] = [i.as_dict() async for i in client.backup_protected_items.list(**where, filter=kind)]
            parts = seen["items"][0]["id"].split("/")
            names = {"container_name": parts[12], "protected_item_name": parts[14]}
            points = client.recovery_points.list(**where, fabric_name="Azure", **names)
            seen["points"] = [point async for point in points]
            seen["item"] = await client.protected_items.get(
                **where, fabric_name="Azure", **names, filter="expand eq 'extendedinfo'"
            )
            seen["policies"] = [policy async for policy in client.backup_policies.list(**where)]
            seen["config"] = await client.backup_resource_vault_configs.get(**where)
            seen["storage"] = await client.backup_resource_storage_configs_non_crr.get(**where)
            seen["guards"] = [guard async for guard in client.resource_guard_proxies.get(**where)]
            seen["jobs"] = [job async for job in client.backup_jobs.list(**where)]
        return seen

    seen = run(work())
    assert len(seen["items"]) == 7
    point = seen["points"][0].properties
    assert point.recovery_point_time.tzinfo is not None
    assert {detail.type.value for detail in point.recovery_point_tier_details} == {"InstantRP", "HardenedRP"}
    assert seen["item"].properties["extendedInfo"]["recoveryPointCount"] == len(seen["points"])
    durations = {
        policy.name: policy.properties.retention_policy.monthly_schedule.retention_duration.count
        for policy in seen["policies"]
        if policy.name == "std"
    }
    assert durations == {"std": 84}
    assert seen["config"].properties.soft_delete_feature_state == "AlwaysON"
    assert seen["storage"].properties.storage_type == "GeoRedundant"
    assert (seen["guards"], seen["jobs"]) == ([], [])


def test_backup_reads_jobs_counters_and_keys(company: Simulator) -> None:
    async def work() -> dict[str, Any]:
        home = next(vault for vault in company.estate.vaults.values() if vault.name == "rsv-backup-weu-01")
        where = {"vault_name": home.name, "resource_group_name": home.place.group}
        seen: dict[str, Any] = {}
        async with RecoveryServicesBackupClient(NoCredential(), home.place.subscription, **options(company)) as client:
            text = "operation eq 'Restore' and backupManagementType eq 'AzureIaasVM'"
            seen["restores"] = [job async for job in client.backup_jobs.list(**where, filter=text)]
            seen["detail"] = await client.job_details.get(**where, job_name=seen["restores"][0].name)
            seen["summary"] = [usage async for usage in client.backup_usage_summaries.list(**where)]
            seen["encryption"] = await client.backup_resource_encryption_configs.get(**where)
            seen["guards"] = [guard async for guard in client.resource_guard_proxies.get(**where)]
        return seen

    seen = run(work())
    statuses = [job.properties.status for job in seen["restores"]]
    assert sorted(statuses) == ["Completed"] * 4 + ["Failed"]
    started = [job.properties.start_time for job in seen["restores"]]
    assert started == sorted(started, reverse=True)
    assert seen["detail"].properties.extended_info.tasks_list[0].task_id == "Transfer data from vault"
    assert {usage.name.value: usage.current_value for usage in seen["summary"]}["AzureIaasVM"] > 40
    assert seen["encryption"].properties.encryption_at_rest_type == "CustomerManaged"
    (guard,) = seen["guards"]
    assert guard.properties.resource_guard_resource_id.endswith("/guard-backup")


def test_inherited_assignments_are_asked_for_by_a_field_that_the_model_lacks(company: Simulator) -> None:
    async def work(upward: str) -> list[Any]:
        body = {
            "query": "policyresources | where type =~ 'microsoft.authorization/policyassignments' | project id, name",
            "subscriptions": [company.estate.subscription_id("prod-eu")],
            "options": {"authorizationScopeFilter": upward, "resultFormat": "objectArray"},
        }
        async with ResourceGraphClient(NoCredential(), **options(company)) as client:
            raw: Any = json.dumps(body).encode()
            answer = await client.resources(raw, api_version="2024-04-01")
            rows: Any = answer.data
            return [row["name"] for row in rows]

    assert run(work("AtScopeAndBelow")) == ["SecurityCenterBuiltIn"]
    assert sorted(run(work("AtScopeAboveAndBelow"))) == ["SecurityCenterBuiltIn", "backup-workloads"]


def test_states_by_an_initiative_and_exempt_ones_come_through(company: Simulator) -> None:
    async def work() -> list[Any]:
        subscription = company.estate.subscription_id("prod-eu")
        async with PolicyInsightsClient(NoCredential(), subscription, **options(company)) as client:
            pages = client.policy_states.list_query_results_for_subscription("latest", subscription)
            return [state async for state in pages]

    found = run(work())
    assert {state.compliance_state for state in found} == {"Compliant", "NonCompliant", "Exempt"}
    by_set = [state for state in found if state.policy_set_definition_name]
    assert {state.policy_definition_reference_id for state in by_set} == {
        "azureBackupShouldBeEnabledForVirtualMachinesMonitoringEffect"
    }


def test_policy_states_page(paged: Simulator) -> None:
    async def work() -> list[Any]:
        subscription = paged.estate.subscription_id("a")
        async with PolicyInsightsClient(NoCredential(), subscription, **options(paged)) as client:
            pages = client.policy_states.list_query_results_for_subscription("latest", subscription)
            return [state async for state in pages]

    found = run(work())
    assert len(found) == 7
    assert {state.compliance_state for state in found} == {"Compliant"}


def test_a_denied_vault_is_an_http_response_error_with_status_403() -> None:
    async def work(simulator: Simulator) -> None:
        subscription = simulator.estate.subscription_id("b")
        async with RecoveryServicesBackupClient(NoCredential(), subscription, **options(simulator)) as client:
            found = client.backup_protected_items.list(vault_name="rsv-1", resource_group_name="rg-backup")
            assert not [entry async for entry in found]

    faults = Faults(denied_vaults=frozenset({"rsv-1"}))
    with Simulator(Estate.from_dict(small(), AS_OF), faults=faults) as simulator:
        with pytest.raises(HttpResponseError) as caught:
            run(work(simulator))
        assert caught.value.status_code == 403
        assert caught.value.error is not None
        assert caught.value.error.code == "AuthorizationFailed"
