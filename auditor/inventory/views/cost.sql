-- What backups cost beyond what the standard asks for: policies that keep too long, items that nobody needs.

CREATE TABLE backup_policy AS
-- table: backup_policy: policies of Azure VM backup in concerned vaults; one row each
SELECT
    p.resource_no                        AS resource_no,          -- key within this bundle
    p.resource_id                        AS resource_id,          -- lower-cased ARM id
    p.resource_name                      AS resource_name,        -- name as created
    p.subscription_id                    AS subscription_id,      -- of its vault
    p.vault_id                           AS vault_id,             -- lower-cased ARM id
    w.resource_name                      AS vault_name,           -- name of the vault
    w.class                              AS class,                -- of its vault
    w.tier                               AS tier,                 -- of its vault
    w.owner                              AS owner                 -- of its vault
FROM raw.backup_policy p
JOIN vault w ON w.resource_id = p.vault_id
WHERE lower(p.backup_management_type) = 'azureiaasvm';

CREATE TABLE protected_item AS
-- table: protected_item: items of Azure VM backup whose VM is, or was, in scope; one row each
SELECT
    i.resource_no                        AS resource_no,          -- key within this bundle
    i.resource_id                        AS resource_id,          -- lower-cased ARM id
    coalesce(i.friendly_name, i.resource_name) AS resource_name,  -- name of the VM when it was protected
    i.subscription_id                    AS subscription_id,      -- of its vault
    i.vault_id                           AS vault_id,             -- lower-cased ARM id
    i.vm_id                              AS vm_id,                -- lower-cased ARM id of the VM that it protects
    v.resource_no                        AS vm_no,                -- key of that VM; null where it is not in the inventory
    v.class                              AS class,                -- of its VM
    v.tier                               AS tier,                 -- of its VM
    v.owner                              AS owner                 -- of its VM
FROM raw.protected_item i
LEFT JOIN vm v ON v.resource_id = i.vm_id
WHERE lower(coalesce(i.backup_management_type, 'azureiaasvm')) = 'azureiaasvm'
  AND split_part(i.vm_id, '/', 3) IN (SELECT subscription_id FROM audited);
