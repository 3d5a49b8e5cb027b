-- Managed disks in scope.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    lower(nullif(r.managedBy, ''))                 AS vm_id,                 -- the VM it is attached to
    r.sku.name                                     AS sku,                   -- Premium_LRS, StandardSSD_ZRS, ...
    lower(r.properties.uniqueId)                   AS unique_id,             -- differs when a disk is re-created under its old name
    r.properties.diskState                         AS disk_state,            -- Attached, Unattached, Reserved, ActiveSAS, ...
    r.properties.diskSizeGB                        AS size_gib,              -- provisioned
    try_cast(r.properties.timeCreated AS TIMESTAMPTZ) AS created_at,         -- creation time
    coalesce(r.properties.maxShares, 1)            AS max_shares,            -- more than 1 = shared between machines
    source                                         AS source                 -- graph or rest: the one these columns come from
FROM (
    SELECT source, unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "resourceGroup": "VARCHAR", "subscriptionId": "VARCHAR",
        "location": "VARCHAR", "managedBy": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)", "sku": {"name": "VARCHAR"},
        "properties": {"uniqueId": "VARCHAR", "diskState": "VARCHAR", "diskSizeGB": "INTEGER", "timeCreated": "VARCHAR",
                       "maxShares": "INTEGER"}
    }]}').data) AS r
    FROM page
)
