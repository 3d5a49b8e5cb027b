-- Backup instances of Backup vaults (Azure Disk Backup), tenant-wide: they explain snapshots that nobody made by hand.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the Backup vault
    regexp_extract(lower(r.id), '^(.+/backupvaults/[^/]+)/', 1) AS vault_id, -- lower-cased ARM id
    lower(coalesce(r.properties.dataSourceInfo.resourceID, r.properties.dataSourceInfo.resourceId)) AS source_id, -- disk
    r.properties.dataSourceInfo.datasourceType     AS datasource_type,       -- Microsoft.Compute/disks, ...
    r.properties.currentProtectionState            AS current_protection_state, -- ProtectionConfigured, ...
    lower(nullif(r.properties.policyInfo.policyId, '')) AS policy_id,        -- lower-cased id of its policy
    lower(list_filter(r.properties.policyInfo.policyParameters.dataStoreParametersList,
                      lambda s: s.resourceGroupId IS NOT NULL)[1].resourceGroupId) AS snapshot_group_id -- where its snapshots go
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "subscriptionId": "VARCHAR",
        "properties": {
            "dataSourceInfo": {"resourceID": "VARCHAR", "datasourceType": "VARCHAR"},
            "currentProtectionState": "VARCHAR",
            "policyInfo": {"policyId": "VARCHAR", "policyParameters": {"dataStoreParametersList": [{"resourceGroupId": "VARCHAR"}]}}}
    }]}').data) AS r
    FROM page
)
