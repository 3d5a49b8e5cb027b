-- Policies of Backup vaults, tenant-wide: how often disks are backed up, and how long their snapshots stay.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the vault
    regexp_extract(lower(r.id), '^(.+/backupvaults/[^/]+)/', 1) AS vault_id, -- lower-cased ARM id
    r.properties.datasourceTypes[1]                AS datasource_type,       -- Microsoft.Compute/disks, ...
    split_part(list_filter(r.properties.policyRules, lambda p: p.objectType = 'AzureBackupRule')[1].trigger.schedule.repeatingTimeIntervals[1], '/', 3) AS repeated_every, -- ISO 8601 duration: P1D, PT4H
    list_filter(r.properties.policyRules, lambda p: p.objectType = 'AzureRetentionRule' AND p.isDefault)[1].lifecycles[1].deleteAfter.duration AS kept_for -- ISO 8601 duration: P7D
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "datasourceTypes": ["VARCHAR"],
            "policyRules": [{"objectType": "VARCHAR", "isDefault": "BOOLEAN",
                             "trigger": {"schedule": {"repeatingTimeIntervals": ["VARCHAR"]}},
                             "lifecycles": [{"deleteAfter": {"duration": "VARCHAR"}}]}]}
    }]}').data) AS r
    FROM page
)
