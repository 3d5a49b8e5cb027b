-- VM restore points that Azure Backup did not make, collection by collection.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    regexp_replace(lower(r.id), '/restorepoints/.*$', '') AS collection_id,  -- lower-cased ARM id
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    try_cast(r.properties.timeCreated AS TIMESTAMPTZ) AS created_at,         -- when it was taken
    r.properties.consistencyMode                   AS consistency,           -- ApplicationConsistent, CrashConsistent, FileSystemConsistent
    r.properties.provisioningState                 AS provisioning_state,    -- Succeeded, Failed, ...
    len(coalesce(r.properties.excludeDisks, []))   AS excluded_disk_count    -- disks left out
FROM (
    SELECT unnest(from_json(body, '{"properties": {"restorePoints": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {"timeCreated": "VARCHAR", "consistencyMode": "VARCHAR", "provisioningState": "VARCHAR",
                       "excludeDisks": [{"id": "VARCHAR"}]}
    }]}}').properties.restorePoints) AS r
    FROM page
)
