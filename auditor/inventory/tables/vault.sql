-- Recovery Services vaults, tenant-wide. A null setting was not sent: older vaults omit whole blocks, or send empty ones.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    r.properties.provisioningState                 AS provisioning_state,    -- Succeeded, ...
    nullif(r.properties.redundancySettings.standardTierStorageRedundancy, '') AS redundancy, -- LocallyRedundant, ZoneRedundant, GeoRedundant
    nullif(r.properties.redundancySettings.crossRegionRestore, '') AS cross_region_restore, -- Enabled, Disabled
    nullif(r.properties.securitySettings.softDeleteSettings.softDeleteState, '') AS soft_delete_state, -- Enabled, Disabled, AlwaysON
    r.properties.securitySettings.softDeleteSettings.softDeleteRetentionPeriodInDays AS soft_delete_days, -- 14..180
    nullif(r.properties.securitySettings.immutabilitySettings.state, '') AS immutability_state, -- Disabled, Unlocked, Locked
    nullif(r.properties.securitySettings.multiUserAuthorization, '') AS multi_user_authorization, -- Enabled, Disabled
    nullif(r.properties.publicNetworkAccess, '')   AS public_network_access, -- Enabled, Disabled
    nullif(r.properties.securitySettings.immutabilitySettings.configuration.type, '') AS immutability_type, -- AsPerPolicy, TimeBased
    r.properties.securitySettings.immutabilitySettings.configuration.durationInDays AS immutability_days, -- of TimeBased
    len(list_filter(coalesce(r.properties.privateEndpointConnections, []), lambda c:
        contains(lower(c.id), '.backup') AND lower(c.properties.privateLinkServiceConnectionState.status) = 'approved'
        AND lower(c.properties.provisioningState) = 'succeeded')) AS private_endpoint_count, -- approved ones for backup
    nullif(r.properties.encryption.keyVaultProperties.keyUri, '') AS key_uri,            -- customer-managed key; null = platform key
    nullif(r.properties.encryption.infrastructureEncryption, '') AS infrastructure_encryption, -- Enabled, Disabled
    nullif(r.properties.monitoringSettings.azureMonitorAlertSettings.alertsForAllJobFailures, '') AS job_failure_alerts, -- Enabled, Disabled
    nullif(r.properties.monitoringSettings.classicAlertSettings.alertsForCriticalOperations, '') AS classic_alerts, -- Enabled, Disabled
    nullif(r.properties.restoreSettings.crossSubscriptionRestoreSettings.crossSubscriptionRestoreState, '') AS cross_subscription_restore, -- Enabled, Disabled, PermanentlyDisabled
    source                                         AS source                 -- graph or rest: the one these columns come from
FROM (
    SELECT source, unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "resourceGroup": "VARCHAR", "subscriptionId": "VARCHAR",
        "location": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)",
        "properties": {
            "provisioningState": "VARCHAR", "publicNetworkAccess": "VARCHAR",
            "redundancySettings": {"standardTierStorageRedundancy": "VARCHAR", "crossRegionRestore": "VARCHAR"},
            "securitySettings": {
                "softDeleteSettings": {"softDeleteState": "VARCHAR", "softDeleteRetentionPeriodInDays": "INTEGER"},
                "immutabilitySettings": {"state": "VARCHAR", "configuration": {"type": "VARCHAR", "durationInDays": "INTEGER"}},
                "multiUserAuthorization": "VARCHAR"},
            "privateEndpointConnections": [{"id": "VARCHAR", "properties": {
                "provisioningState": "VARCHAR", "privateLinkServiceConnectionState": {"status": "VARCHAR"}}}],
            "encryption": {"keyVaultProperties": {"keyUri": "VARCHAR"}, "infrastructureEncryption": "VARCHAR"},
            "monitoringSettings": {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "VARCHAR"},
                                   "classicAlertSettings": {"alertsForCriticalOperations": "VARCHAR"}},
            "restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "VARCHAR"}}}
    }]}').data) AS r
    FROM page
)
