-- Recovery Services vaults, tenant-wide. A null setting was not sent: older vaults omit whole blocks.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    r.properties.provisioningState                 AS provisioning_state,    -- Succeeded, ...
    r.properties.redundancySettings.standardTierStorageRedundancy AS redundancy, -- LocallyRedundant, ZoneRedundant, GeoRedundant
    r.properties.redundancySettings.crossRegionRestore AS cross_region_restore, -- Enabled, Disabled
    r.properties.securitySettings.softDeleteSettings.softDeleteState AS soft_delete_state, -- Enabled, Disabled, AlwaysON
    r.properties.securitySettings.softDeleteSettings.softDeleteRetentionPeriodInDays AS soft_delete_days, -- 14..180
    r.properties.securitySettings.immutabilitySettings.state AS immutability_state, -- Disabled, Unlocked, Locked
    r.properties.securitySettings.multiUserAuthorization AS multi_user_authorization, -- Enabled, Disabled
    r.properties.publicNetworkAccess               AS public_network_access  -- Enabled, Disabled
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "resourceGroup": "VARCHAR", "subscriptionId": "VARCHAR",
        "location": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)",
        "properties": {
            "provisioningState": "VARCHAR", "publicNetworkAccess": "VARCHAR",
            "redundancySettings": {"standardTierStorageRedundancy": "VARCHAR", "crossRegionRestore": "VARCHAR"},
            "securitySettings": {
                "softDeleteSettings": {"softDeleteState": "VARCHAR", "softDeleteRetentionPeriodInDays": "INTEGER"},
                "immutabilitySettings": {"state": "VARCHAR"}, "multiUserAuthorization": "VARCHAR"}}
    }]}').data) AS r
    FROM page
)
