-- Collections of VM restore points in scope. Those of Azure Backup hold its instant-restore points, told by the vaults.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    lower('/' || ltrim(nullif(r.properties.source.id, ''), '/')) AS vm_id,   -- VM that its points are of
    starts_with(lower(split_part(r.id, '/', 5)), 'azurebackuprg_')
        OR starts_with(lower(r.name), 'azurebackup_') AS of_azure_backup,    -- made by Azure VM backup
    r.properties.provisioningState                 AS provisioning_state     -- Succeeded, ...
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "location": "VARCHAR",
        "properties": {"source": {"id": "VARCHAR"}, "provisioningState": "VARCHAR"}
    }]}').data) AS r
    FROM page
)
