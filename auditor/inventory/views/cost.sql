-- What backups cost beyond what the standard asks for: policies that keep too long, items that nobody needs.

-- The judged VMs that each policy serves. What is stopped or deleted is kept by no policy.
CREATE TABLE policy_user AS
SELECT DISTINCT i.policy_id, v.resource_no AS vm_no, v.tier
FROM item i JOIN vm v ON v.resource_no = i.vm_no
WHERE i.policy_id IS NOT NULL AND v.excluded_code IS NULL AND i.state NOT IN ('stopped', 'soft_deleted');

CREATE TABLE backup_policy AS
-- table: backup_policy: policies of Azure VM backup in concerned vaults; one row each
WITH used AS (SELECT policy_id, count(DISTINCT vm_no) AS vm_count FROM policy_user GROUP BY 1),
     loose AS (SELECT DISTINCT vault_id FROM item WHERE policy_id IS NULL AND state NOT IN ('stopped', 'soft_deleted')),
     held AS (
         SELECT x.resource_no, x.resource_id FROM live_vault x CROSS JOIN setting s
         WHERE list_contains(list_transform(list_filter(folded(x.tags), lambda t: lower(t.value) NOT IN ('', 'false', 'no', 'none', '0')),
                                            lambda t: t.key), lower(s.hold_tag))
     ),
     -- A VM that is backed up anew may have an item from before; stopped, that follows no policy and keeps its points for ever.
     forever AS (
         SELECT u.policy_id, count(DISTINCT i.resource_no) AS count,
                string_agg(DISTINCT i.resource_id, ', ' ORDER BY i.resource_id) AS items
         FROM policy_user u JOIN item i ON i.vm_no = u.vm_no AND i.state = 'stopped'
         WHERE i.vault_id NOT IN (SELECT resource_id FROM held) GROUP BY 1
     )
SELECT
    p.resource_no                        AS resource_no,          -- key within this bundle
    p.resource_id                        AS resource_id,          -- lower-cased ARM id
    p.resource_name                      AS resource_name,        -- name as created
    p.subscription_id                    AS subscription_id,      -- of its vault
    p.vault_id                           AS vault_id,             -- lower-cased ARM id
    w.resource_name                      AS vault_name,           -- name of the vault
    w.resource_group                     AS vault_group,          -- resource group of the vault
    p.backup_management_type IS NOT NULL AS kind_sent,            -- false: Azure did not say what it is a policy of
    coalesce(u.vm_count, 0)              AS vm_count,             -- judged VMs with an active item under it
    o.vault_id IS NOT NULL               AS policyless_item,      -- its vault has an active item whose policy was not sent
    p.protected_items_count              AS stated_item_count,    -- items that use it, as Azure counts them
    coalesce(p.retention_policy_type, '') = 'LongTermRetentionPolicy'
        OR coalesce(p.daily_count, p.weekly_count, p.monthly_count, p.yearly_count) IS NOT NULL AS retention_known, -- Azure sent its retention
    lower(coalesce(p.archive_mode, 'donottier')) NOT IN ('donottier', 'invalid') AS archives, -- old points move to the archive
    coalesce(x.immutability_state, 'not sent') AS vault_immutability, -- of its vault: Disabled, Unlocked, Locked
    h.resource_no IS NOT NULL            AS held,                 -- its vault is under legal hold
    coalesce(f.count, 0)                 AS forever_item_count,   -- stopped items of its judged VMs, whose points are kept for ever; those under legal hold left out
    f.items                              AS forever_items,        -- their ids
    NOT list_has_any(n.lacking_tables, ['subscription', 'vault', 'protected_item']) AS other_items_complete, -- all items of the tenant were read
    coalesce(l.whole, false) AND NOT list_contains(n.lacking_tables, 'vm') AS protected_item_complete, -- all items of its vault's subscription were read, and all VMs in scope
    w.class                              AS class,                -- of its vault
    w.tier                               AS tier,                 -- of its vault
    w.owner                              AS owner                 -- of its vault
FROM raw.backup_policy p
JOIN vault w ON w.resource_id = p.vault_id
JOIN live_vault x ON x.resource_no = w.resource_no
LEFT JOIN used u ON u.policy_id = p.resource_id
LEFT JOIN loose o ON o.vault_id = p.vault_id
LEFT JOIN held h ON h.resource_no = w.resource_no
LEFT JOIN forever f ON f.policy_id = p.resource_id
LEFT JOIN read_wholly l ON l.table_name = 'protected_item' AND l.subscription_id = p.subscription_id
LEFT JOIN known_subscription k ON k.subscription_id = p.subscription_id
JOIN tenant n ON n.tenant_id = coalesce(k.tenant_id, '')
WHERE lower(coalesce(p.backup_management_type, 'azureiaasvm')) = 'azureiaasvm';

CREATE TABLE policy_span AS
-- table: policy_span: how long each policy keeps each kind of points, and how long the tiers of its VMs want them; one row a policy and kind
WITH wanted AS (
    SELECT u.policy_id, max(t.daily_keep_days) AS daily, max(t.weekly_keep_days) AS weekly, max(t.monthly_keep_days) AS monthly,
           max(t.yearly_keep_days) AS yearly, min(t.daily_max_days) AS daily_max, min(t.weekly_max_days) AS weekly_max,
           min(t.monthly_max_days) AS monthly_max, min(t.yearly_max_days) AS yearly_max
    FROM policy_user u JOIN tier t ON t.tier = u.tier GROUP BY 1
),
spans AS (
    SELECT p.resource_no, unnest([
        {'kind': 'daily', 'keeps': keep_days(p.daily_count, p.daily_unit), 'demanded': w.daily, 'most': w.daily_max},
        {'kind': 'weekly', 'keeps': keep_days(p.weekly_count, p.weekly_unit), 'demanded': w.weekly, 'most': w.weekly_max},
        {'kind': 'monthly', 'keeps': keep_days(p.monthly_count, p.monthly_unit), 'demanded': w.monthly, 'most': w.monthly_max},
        {'kind': 'yearly', 'keeps': keep_days(p.yearly_count, p.yearly_unit), 'demanded': w.yearly, 'most': w.yearly_max}
    ]) AS span
    FROM raw.backup_policy p JOIN wanted w ON w.policy_id = p.resource_id
)
SELECT
    s.resource_no                        AS policy_no,            -- key of the policy
    s.span.kind                          AS kind,                 -- daily, weekly, monthly, yearly
    s.span.keeps                         AS keep_days,            -- days that the policy keeps them
    s.span.demanded                      AS demanded_days,        -- the most that the tier of one of its VMs demands; null = none does
    s.span.most                          AS max_days              -- the least that the tier of one of its VMs sets as a maximum; null = none does
FROM spans s WHERE s.span.keeps IS NOT NULL;

CREATE TABLE protected_item AS
-- table: protected_item: items of Azure VM backup whose VM is, or was, in scope; one row each
-- A machine that was moved has a new id; only the name is left to find it by.
WITH named AS (SELECT lower(resource_name) AS name, min(resource_id) AS vm_id, count(*) AS count FROM live_vm GROUP BY 1)
SELECT
    i.resource_no                        AS resource_no,          -- key within this bundle
    i.resource_id                        AS resource_id,          -- lower-cased ARM id
    coalesce(i.friendly_name, i.resource_name) AS resource_name,  -- name of the VM when it was protected
    i.subscription_id                    AS subscription_id,      -- of its vault
    i.vault_id                           AS vault_id,             -- lower-cased ARM id
    coalesce(w.resource_name, split_part(i.vault_id, '/', 9)) AS vault_name, -- name of the vault
    split_part(i.vault_id, '/', 5)       AS vault_group,          -- resource group of the vault
    i.vm_id                              AS vm_id,                -- lower-cased ARM id of the VM that it protects
    v.resource_no                        AS vm_no,                -- key of that VM; null where it is not in the inventory
    contains(i.vm_id, '/microsoft.compute/virtualmachines/') AS of_vm, -- false for a machine of the classic kind, which no list shows
    coalesce(a.whole, false)             AS vm_complete,          -- the VMs of its subscription were read, so that absence is evidence
    i.datasource_deleted                 AS datasource_deleted,   -- Azure says that the VM is gone
    i.soft_deleted                       AS soft_deleted,         -- it is deleted itself and waits for its end
    coalesce(nullif(i.protection_state, ''), i.current_protection_state) AS protection_state, -- as Azure words it
    CASE WHEN lower(coalesce(nullif(i.protection_state, ''), i.current_protection_state)) IN ('protectionstopped', 'protectionpaused') THEN 'stopped'
         WHEN lower(coalesce(nullif(i.protection_state, ''), i.current_protection_state)) = 'backupssuspended' THEN 'suspended'
         ELSE 'active' END               AS activity,             -- active (it is backed up, or tried), stopped (data kept for ever), suspended (data kept as its policy says)
    hours_since(i.last_point_at)         AS newest_point_age_hours, -- of its newest point, as it states it
    CASE WHEN v.resource_no IS NULL THEN coalesce(hours_since(o.first_seen), 0.0) END AS orphaned_hours, -- since our own runs first missed its VM; 0 on the first; null where the VM is there
    CASE WHEN v.resource_no IS NULL THEN m.vm_id END AS same_name_vm_id, -- a VM of its name elsewhere: perhaps it was moved; a hint, no proof
    CASE WHEN v.resource_no IS NULL THEN coalesce(m.count, 0) END AS same_name_count, -- VMs of its name elsewhere
    v.class                              AS class,                -- of its VM
    v.tier                               AS tier,                 -- of its VM
    v.owner                              AS owner                 -- of its VM
FROM raw.protected_item i
LEFT JOIN vm v ON v.resource_id = i.vm_id
LEFT JOIN live_vault w ON w.resource_id = i.vault_id
LEFT JOIN read_wholly a ON a.table_name = 'vm' AND a.subscription_id = split_part(i.vm_id, '/', 3)
LEFT JOIN known o ON o.kind = 'orphan' AND o.key = i.resource_id
LEFT JOIN named m ON m.name = lower(i.friendly_name)
WHERE lower(coalesce(i.backup_management_type, 'azureiaasvm')) = 'azureiaasvm'
  AND split_part(i.vm_id, '/', 3) IN (SELECT subscription_id FROM audited);
