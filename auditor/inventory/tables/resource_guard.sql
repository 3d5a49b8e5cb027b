-- Resource Guards, tenant-wide: what a second person has to allow.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    coalesce(r.properties.vaultCriticalOperationExclusionList, []) AS unguarded_operations -- operations it leaves free
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "location": "VARCHAR",
        "properties": {"vaultCriticalOperationExclusionList": ["VARCHAR"]}
    }]}').data) AS r
    FROM page
)
