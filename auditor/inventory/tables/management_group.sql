-- Management groups, tenant-wide.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- the group's id
    coalesce(r.properties.displayName, r.name)     AS title,                 -- display name
    lower(r.properties.details.parent.id)          AS parent_id              -- null for the tenant root
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {"displayName": "VARCHAR", "details": {"parent": {"id": "VARCHAR"}}}
    }]}').data) AS r
    FROM page
)
