-- Managed-disk snapshots in scope. Points of Azure VM backup are not among them: those live in restore point collections.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    r.sku.name                                     AS sku,                   -- Standard_LRS, Standard_ZRS, Premium_LRS
    r.properties.incremental                       AS incremental,           -- false = full copy
    r.properties.creationData.createOption         AS create_option,         -- Copy, CopyStart, Import, Upload, ...
    lower('/' || ltrim(nullif(r.properties.creationData.sourceResourceId, ''), '/')) AS source_id, -- a disk or another snapshot
    lower(r.properties.creationData.sourceUniqueId) AS source_unique_id,     -- unique_id of the source when it was copied
    r.properties.diskSizeGB                        AS size_gib,              -- provisioned size of the source, not what is billed
    r.properties.diskState                         AS disk_state,            -- ActiveSAS = a live download link exists
    try_cast(r.properties.timeCreated AS TIMESTAMPTZ) AS created_at,         -- of a copy: when it was copied
    try_cast(r.properties.immutabilityPolicy.policyExpirationTime AS TIMESTAMPTZ) AS immutable_until, -- cannot be deleted before
    r.properties.immutabilityPolicy.isPolicyExpired AS immutability_expired, -- null where there is no such policy
    r.properties.networkAccessPolicy               AS network_access_policy, -- AllowAll, AllowPrivate, DenyAll
    r.properties.publicNetworkAccess               AS public_network_access, -- Enabled, Disabled
    r.properties.dataAccessAuthMode                AS data_access_auth_mode, -- AzureActiveDirectory = an export needs a sign-in too
    r.properties.completionPercent                 AS completion_percent,    -- of a copy under way
    source                                         AS source                 -- graph or rest: the one these columns come from
FROM (
    SELECT source, unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "resourceGroup": "VARCHAR", "subscriptionId": "VARCHAR",
        "location": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)", "sku": {"name": "VARCHAR"},
        "properties": {
            "incremental": "BOOLEAN", "diskSizeGB": "INTEGER", "diskState": "VARCHAR", "timeCreated": "VARCHAR",
            "creationData": {"createOption": "VARCHAR", "sourceResourceId": "VARCHAR", "sourceUniqueId": "VARCHAR"},
            "immutabilityPolicy": {"policyExpirationTime": "VARCHAR", "isPolicyExpired": "BOOLEAN"},
            "networkAccessPolicy": "VARCHAR", "publicNetworkAccess": "VARCHAR",
            "dataAccessAuthMode": "VARCHAR", "completionPercent": "DOUBLE"}
    }]}').data) AS r
    FROM page
)
