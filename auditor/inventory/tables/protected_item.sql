-- Protected items of all Recovery Services vaults, tenant-wide, from two sources: Resource Graph and each vault's own list.
-- The vault is the original: where both speak, it wins. What the vault's list does not say, Resource Graph may.
SELECT
    -- The vault's own list leaves /backupFabrics/Azure out of the id.
    regexp_replace(lower(r.id), '^(.+/vaults/[^/]+)/(backupfabrics/[^/]+/)?(protectioncontainers/.+)$',
                   '\1/backupfabrics/azure/\3')    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- container;group;name
    r.properties.friendlyName                      AS friendly_name,         -- name of the VM when it was protected
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the vault
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    regexp_replace(regexp_extract(lower(r.id), '/protectioncontainers/([^/]+)/', 1), '^iaasvmcontainer;', '') AS container_name, -- iaasvmcontainerv2;group;name
    lower('/' || ltrim(coalesce(nullif(r.properties.sourceResourceId, ''), nullif(r.properties.virtualMachineId, ''),
                                nullif(r.properties.dataSourceInfo.resourceID, '')), '/')) AS vm_id, -- what it protects
    lower(nullif(r.properties.policyId, ''))       AS policy_id,             -- null after stop with retain
    r.properties.backupManagementType              AS backup_management_type, -- AzureIaasVM, AzureWorkload, ...
    r.properties.workloadType                      AS workload_type,         -- VM, SQLDataBase, ...
    r.properties.protectionState                   AS protection_state,      -- Protected, IRPending, ProtectionStopped, ...
    r.properties.currentProtectionState            AS current_protection_state, -- Resource Graph's own wording
    r.properties.lastBackupStatus                  AS last_backup_status,    -- Completed, Failed, "" = never
    nullif(try_cast(r.properties.lastBackupTime AS TIMESTAMPTZ), TIMESTAMPTZ '2001-01-01 00:00:00+00')
                                                   AS last_backup_at,        -- last attempt, not last success; null = never
    try_cast(r.properties.lastRecoveryPoint AS TIMESTAMPTZ) AS last_point_at, -- newest point as the item states it
    coalesce(r.properties.isScheduledForDeferredDelete, false)
        OR coalesce(lower(r.properties.currentProtectionState) = 'softdeleted', false) AS soft_deleted, -- waits for its deletion
    try_cast(r.properties.deferredDeleteTimeInUTC AS TIMESTAMPTZ) AS deferred_delete_at, -- when it was deleted softly
    r.properties.healthStatus                      AS health_status,         -- Passed, ActionRequired, ...
    contains(lower(r.properties.kpisHealths::VARCHAR), '"persistent') AS persistent_fault, -- one of its health indicators is persistently bad; null where Azure sent none
    coalesce(r.properties.isDatasourceDeleted, false) AS datasource_deleted, -- Azure says that the VM is gone
    coalesce(r.properties.isArchiveEnabled, false) AS archive_enabled,       -- points may move to the archive
    r.properties.extendedProperties.diskExclusionProperties.diskLunList AS selected_luns, -- of selective disk backup; null = all disks
    coalesce(r.properties.extendedProperties.diskExclusionProperties.isInclusionList, false) AS selected_are_included, -- true: only these slots are backed up; false: all but these
    r.properties.extendedInfo.recoveryPointCount   AS stated_point_count,    -- as the item counts its points; null where Azure does not say
    try_cast(r.properties.extendedInfo.oldestRecoveryPoint AS TIMESTAMPTZ) AS stated_oldest_point_at, -- null where Azure does not say
    r.properties.extendedInfo.policyInconsistent   AS policy_inconsistent,   -- the item does not follow its policy
    CASE source WHEN 'rest' THEN 'vault' ELSE 'resource_graph' END AS source -- vault or resource_graph
FROM (
    SELECT source, unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "friendlyName": "VARCHAR", "sourceResourceId": "VARCHAR", "virtualMachineId": "VARCHAR",
            "dataSourceInfo": {"resourceID": "VARCHAR"}, "policyId": "VARCHAR", "backupManagementType": "VARCHAR",
            "workloadType": "VARCHAR", "protectionState": "VARCHAR", "currentProtectionState": "VARCHAR",
            "lastBackupStatus": "VARCHAR", "lastBackupTime": "VARCHAR", "lastRecoveryPoint": "VARCHAR",
            "isScheduledForDeferredDelete": "BOOLEAN", "deferredDeleteTimeInUTC": "VARCHAR", "healthStatus": "VARCHAR", "kpisHealths": "JSON",
            "isDatasourceDeleted": "BOOLEAN", "isArchiveEnabled": "BOOLEAN",
            "extendedProperties": {"diskExclusionProperties": {"diskLunList": ["INTEGER"], "isInclusionList": "BOOLEAN"}},
            "extendedInfo": {"recoveryPointCount": "INTEGER", "oldestRecoveryPoint": "VARCHAR", "policyInconsistent": "BOOLEAN"}}
    }]}').data) AS r
    FROM page
);
SELECT * REPLACE (
        coalesce(current_protection_state, max(current_protection_state) OVER (PARTITION BY resource_id)) AS current_protection_state,
        bool_or(datasource_deleted) OVER (PARTITION BY resource_id) AS datasource_deleted,
        coalesce(stated_point_count, max(stated_point_count) OVER (PARTITION BY resource_id)) AS stated_point_count,
        coalesce(stated_oldest_point_at, max(stated_oldest_point_at) OVER (PARTITION BY resource_id)) AS stated_oldest_point_at,
        coalesce(policy_inconsistent, bool_or(policy_inconsistent) OVER (PARTITION BY resource_id)) AS policy_inconsistent
    ),
    bool_or(source = 'resource_graph') OVER (PARTITION BY resource_id) AS in_graph, -- Resource Graph knew it
    bool_or(source = 'vault') OVER (PARTITION BY resource_id) AS in_list   -- its vault's own list had it
FROM staged
QUALIFY row_number() OVER (PARTITION BY resource_id ORDER BY source DESC) = 1
