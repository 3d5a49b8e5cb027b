"""Backup jobs of an item: the scheduled ones behind its points, its configuring, and restores.

Shapes: payloads rsb_backupJobs_list and rsb_backupJob_dotnet_timespan_duration; details: azure-rest-api-specs,
recoveryservicesbackup 2025-02-01, Common/GetJobDetails.json.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

from auditor.simulator.clock import seed, ticks, timespan
from auditor.simulator.naming import guid
from auditor.simulator.vault import VAULT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditor.simulator.backup import Item
    from auditor.simulator.compute import Json

_TASKS = {
    "Backup": ("Take Snapshot", "Transfer data to vault"),
    "Restore": ("Transfer data from vault",),
    "ConfigureBackup": (),
}


def job_documents(item: Item, as_of: datetime, days: int) -> Iterator[Json]:
    """Give an item's jobs of the last `days`, in no order; restores whenever they were.

    The failed jobs of days without a point are there too.
    """
    horizon = as_of - timedelta(days=days)
    if item.properties["backupManagementType"] != "AzureIaasVM":
        return
    # Newest first: of seven years only the last days are made.
    points = list(takewhile(lambda point: point.taken > horizon, item.points(as_of)))
    taken = {(as_of - point.taken).days for point in points}
    for point in points:
        length = timedelta(minutes=35 + seed(f"{item.id}{point.taken}") % 50)
        yield _job(item, "Backup", point.taken, length, status="Completed", as_of=as_of)
    if item.properties["protectionState"] in ("Protected", "ProtectionError") and item.timetable.frequency == "Daily":
        for back in range(days):
            if back not in taken and as_of - timedelta(days=back + 0.5) > item.history.since:
                start = as_of - timedelta(days=back + 0.5)
                yield _job(item, "Backup", start, timedelta(minutes=12), status="Failed", as_of=as_of)
    if item.history.since > horizon:
        yield _job(item, "ConfigureBackup", item.history.since, timedelta(seconds=52), status="Completed", as_of=as_of)
    for restore in item.restores:
        yield _job(
            item, "Restore", restore.started, timedelta(minutes=restore.minutes), status=restore.status, as_of=as_of
        )


def graph_document(item: Item, job: Json) -> Json:
    """Give a job as Resource Graph's table shows it: it says of which item the job is."""
    return job | {
        "properties": job["properties"]
        | {
            "backupInstanceId": item.id,
            "dataSourceId": item.properties["sourceResourceId"],
            "dataSourceLocation": item.vault.place.location,
        }
    }


def job_details(job: Json) -> Json:
    """Give a job as asking for it alone shows it."""
    properties = job["properties"]
    tasks = [
        {"taskId": task, "duration": properties["duration"], "status": properties["status"]}
        for task in _TASKS[properties["operation"]]
    ]
    info = {"propertyBag": {"VM Name": properties["entityFriendlyName"]}, "tasksList": tasks}
    return job | {"properties": properties | {"extendedInfo": info}}


def _job(item: Item, operation: str, start: datetime, length: timedelta, *, status: str, as_of: datetime) -> Json:
    name = guid(f"job {item.id} {operation} {start}" if operation != "Backup" else f"job {item.id} {start}")
    done = min(start + length, as_of)
    properties: Json = {
        "jobType": "AzureIaaSVMJob",
        "duration": timespan(done - start),
        "virtualMachineVersion": "Compute",
        "entityFriendlyName": item.properties["friendlyName"],
        "backupManagementType": "AzureIaasVM",
        "operation": operation,
        "status": status,
        "startTime": ticks(start),
        "endTime": ticks(done),
        "activityId": guid(f"activity {name}"),
        "containerName": item.properties["containerName"],
        "isUserTriggered": operation != "Backup",
    }
    if status == "InProgress":
        del properties["endTime"]
    if status == "Failed":
        # The code and text of a VM agent that does not answer, by far the commonest failure.
        properties["errorDetails"] = [
            {
                "errorCode": 400_034,
                "errorTitle": "UserErrorGuestAgentStatusUnavailable",
                "errorString": "VM agent is unable to communicate with the Azure Backup service.",
                "recommendations": ["Ensure the VM agent is installed and running."],
            }
        ]
    return {
        "id": f"{item.vault.id}/backupJobs/{name}",
        "name": name,
        "type": f"{VAULT}/backupJobs",
        "properties": properties,
    }
