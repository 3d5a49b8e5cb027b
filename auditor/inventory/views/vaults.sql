-- Recovery Services vaults, with the strictest demands of the VMs that they protect.

-- Each vault that lies in an audited subscription or protects a VM of one, with the VMs of its items.
CREATE TABLE concerned_vault AS
WITH holding AS (
    SELECT DISTINCT i.vault_id, v.resource_no AS vm_no, v.tier
    FROM raw.protected_item i JOIN vm v ON v.resource_id = i.vm_id
    WHERE v.excluded_code IS NULL
),
strictest AS (
    SELECT h.vault_id, count(*) AS vm_count,
           arg_min(h.tier, {'shift': -t.severity_shift, 'rpo': coalesce(t.rpo_hours, 1e9), 'name': h.tier}) AS tier
    FROM holding h JOIN tier t ON t.tier = h.tier GROUP BY h.vault_id
)
SELECT w.resource_no, coalesce(h.vm_count, 0) AS vm_count, coalesce(h.tier, c.tier) AS tier
FROM live_vault w
JOIN classified c ON c.resource_no = w.resource_no
LEFT JOIN strictest h ON h.vault_id = w.resource_id
WHERE h.vault_id IS NOT NULL OR w.subscription_id IN (SELECT subscription_id FROM audited);

CREATE TABLE vault AS
-- table: vault: Recovery Services vaults that lie in scope or protect a VM of it; one row each
SELECT
    w.resource_no                        AS resource_no,          -- key within this bundle
    w.resource_id                        AS resource_id,          -- lower-cased ARM id
    w.resource_name                      AS resource_name,        -- name as created
    w.resource_group                     AS resource_group,       -- name of the resource group
    w.subscription_id                    AS subscription_id,      -- lower-cased GUID
    c.class                              AS class,                -- class of the standard; null where none matches
    k.tier                               AS tier,                 -- strictest tier of the VMs it protects, else its own
    c.owner                              AS owner,                -- from the owner tags, else the class
    k.vm_count                           AS vm_count              -- judged VMs with an item in it, whatever the item's state
FROM concerned_vault k
JOIN live_vault w ON w.resource_no = k.resource_no
JOIN classified c ON c.resource_no = w.resource_no;
