-- Scale sets in scope. Machines of flexible ones are VMs of their own; those of uniform ones are only counted here.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    coalesce(r.properties.orchestrationMode, 'Uniform') AS orchestration_mode, -- Uniform, Flexible; Azure leaves Uniform out
    r.sku.capacity                                 AS capacity               -- machines it is to have
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "location": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)",
        "sku": {"capacity": "INTEGER"}, "properties": {"orchestrationMode": "VARCHAR"}
    }]}').data) AS r
    FROM page
)
