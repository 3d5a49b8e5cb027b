-- Backup vaults (Azure Disk Backup and others), tenant-wide.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    list_filter(coalesce(r.properties.storageSettings, []), lambda s: lower(s.datastoreType) = 'vaultstore')[1].type AS redundancy, -- of its vault store: LocallyRedundant, ZoneRedundant, GeoRedundant
    nullif(r.properties.featureSettings.crossRegionRestoreSettings.state, '') AS cross_region_restore, -- Enabled, Disabled
    nullif(r.properties.featureSettings.crossSubscriptionRestoreSettings.state, '') AS cross_subscription_restore, -- Enabled, Disabled, PermanentlyDisabled
    nullif(r.properties.securitySettings.softDeleteSettings.state, '') AS soft_delete_state, -- Off, On, AlwaysOn
    r.properties.securitySettings.softDeleteSettings.retentionDurationInDays AS soft_delete_days, -- days
    nullif(r.properties.securitySettings.immutabilitySettings.state, '') AS immutability_state, -- Disabled, Unlocked, Locked
    nullif(r.properties.securitySettings.encryptionSettings.keyVaultProperties.keyUri, '') AS key_uri, -- customer-managed key; null = platform key
    nullif(r.properties.securitySettings.encryptionSettings.infrastructureEncryption, '') AS infrastructure_encryption, -- Enabled, Disabled
    nullif(r.properties.monitoringSettings.azureMonitorAlertSettings.alertsForAllJobFailures, '') AS job_failure_alerts, -- Enabled, Disabled
    r.properties.isVaultProtectedByResourceGuard   AS guarded                -- by a Resource Guard
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "location": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)",
        "properties": {
            "storageSettings": [{"datastoreType": "VARCHAR", "type": "VARCHAR"}],
            "securitySettings": {"softDeleteSettings": {"state": "VARCHAR", "retentionDurationInDays": "DOUBLE"},
                                 "immutabilitySettings": {"state": "VARCHAR"},
                                 "encryptionSettings": {"keyVaultProperties": {"keyUri": "VARCHAR"}, "infrastructureEncryption": "VARCHAR"}},
            "featureSettings": {"crossRegionRestoreSettings": {"state": "VARCHAR"},
                                "crossSubscriptionRestoreSettings": {"state": "VARCHAR"}},
            "monitoringSettings": {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "VARCHAR"}},
            "isVaultProtectedByResourceGuard": "BOOLEAN"}
    }]}').data) AS r
    FROM page
)
