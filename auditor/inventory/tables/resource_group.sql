-- Resource groups, tenant-wide: tags to inherit, and who manages them.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    lower(nullif(r.managedBy, ''))                 AS managed_by,            -- AKS cluster, Databricks workspace, managed application, ...
    r.tags                                         AS tags                   -- as Azure holds them
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "subscriptionId": "VARCHAR", "location": "VARCHAR",
        "managedBy": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)"
    }]}').data) AS r
    FROM page
)
