-- Links from vaults to the Resource Guard that a second person must be asked through.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- VaultProxy
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    lower(r.properties.resourceGuardResourceId)    AS guard_id               -- lower-cased ARM id; perhaps of another tenant
FROM (
    SELECT unnest(from_json(body, '{"value": [{
        "id": "VARCHAR", "name": "VARCHAR", "properties": {"resourceGuardResourceId": "VARCHAR"}
    }]}').value) AS r
    FROM page
)
