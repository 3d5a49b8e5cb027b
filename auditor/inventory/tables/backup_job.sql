-- Jobs of the vaults in the month before the run: backups, restores, changes of protection. Azure forgets them; runs keep them.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- GUID of the job
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the vault
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    r.properties.operation                         AS operation,             -- Backup, Restore, ConfigureBackup, DeleteBackupData, ...
    r.properties.status                            AS status,                -- InProgress, Completed, CompletedWithWarnings, Failed, Cancelled
    try_cast(r.properties.startTime AS TIMESTAMPTZ) AS started_at,           -- when it began
    try_cast(r.properties.endTime AS TIMESTAMPTZ)  AS ended_at,              -- null while it runs
    r.properties.entityFriendlyName                AS entity_name,           -- name of the VM; not unique
    regexp_replace(lower(r.properties.containerName), '^iaasvmcontainer;', '') AS container_name, -- iaasvmcontainerv2;group;name, where Azure says it
    r.properties.isUserTriggered                   AS user_triggered,        -- false = by schedule; null where Azure does not say
    r.properties.errorDetails[1].errorCode         AS error_code,            -- of a failure
    r.properties.errorDetails[1].errorString       AS error_text             -- of a failure, in Azure's words
FROM (
    SELECT unnest(from_json(body, '{"value": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "operation": "VARCHAR", "status": "VARCHAR", "startTime": "VARCHAR", "endTime": "VARCHAR",
            "entityFriendlyName": "VARCHAR", "containerName": "VARCHAR", "isUserTriggered": "BOOLEAN",
            "errorDetails": [{"errorCode": "BIGINT", "errorString": "VARCHAR"}]}
    }]}').value) AS r
    FROM page
)
