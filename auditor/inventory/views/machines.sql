-- VMs and their disks, with what the tier of each demands.

CREATE TABLE vm AS
-- table: vm: virtual machines in scope with what their tier demands; one row each
SELECT
    v.resource_no                        AS resource_no,          -- key within this bundle
    v.resource_id                        AS resource_id,          -- lower-cased ARM id
    v.resource_name                      AS resource_name,        -- name as created
    v.resource_group                     AS resource_group,       -- name of the resource group
    v.subscription_id                    AS subscription_id,      -- lower-cased GUID
    v.location                           AS location,             -- Azure region
    CASE
        WHEN c.tier = 'none' THEN 'profile_tier_none'
        WHEN s.exclude_managed AND g.managed_by IS NOT NULL THEN 'managed_rg'
        WHEN list_contains(s.exclude_publishers, lower(v.image_publisher)) THEN 'image_publisher'
        WHEN s.exclude_spot AND lower(v.priority) IN ('spot', 'spotplus', 'low') THEN 'spot'
        WHEN lower(v.os_disk_placement) = 'local' AND v.data_disk_count = 0 THEN 'ephemeral_stateless'
        WHEN v.scale_set_id IS NOT NULL AND NOT s.scale_set_flexible THEN 'scale_set_member'
        WHEN c.product IS NOT NULL THEN 'accepted_product'
        WHEN lower(v.power_state) = 'powerstate/deallocated' AND hours_since(h.first_seen) > s.deallocated_exclude_hours THEN 'deallocated_long'
        WHEN hours_since(try_cast(list_filter(folded(v.tags), lambda t: t.key = 'decommission-date')[1].value AS TIMESTAMPTZ))
             BETWEEN 0 AND 30 * 24 THEN 'decommission'
    END                                  AS excluded_code,        -- why the VM is not judged; null where it is
    c.class                              AS class,                -- class of the standard; null where none matches
    c.tier                               AS tier,                 -- tier it is judged by
    c.conflict                           AS class_conflict,       -- two classes of equal precedence match
    c.strange_tag                        AS unknown_class_tag,    -- a tag that classes go by, with a value that none of them knows
    c.product                            AS accepted_product,     -- other product that the standard accepts in place of Azure Backup, and its evidence
    c.owner                              AS owner,                -- from the owner tags, else the class
    -- A VM first seen in this very run tells nothing of its age; without a creation time it has no grace.
    hours_since(least(v.created_at, CASE WHEN k.first_seen < s.as_of THEN k.first_seen END)) AS age_hours, -- since created or first seen, whichever is earlier; null = not known
    v.power_state                        AS power_state,          -- PowerState/running, PowerState/deallocated, ...
    v.data_disk_count                    AS data_disk_count,      -- attached data disks
    lower(coalesce(v.security_type, 'standard')) AS security_type, -- standard, trustedlaunch, confidentialvm
    s.limits_as_of                       AS limits_as_of,         -- day whose limits of Azure VM backup the rules know
    t.backup_required                    AS backup_required,      -- false where the tier accepts no backup
    t.rpo_hours                          AS rpo_hours,            -- newest point of any tier may be this old
    t.vault_rpo_hours                    AS vault_rpo_hours,      -- newest point in the vault may be this old
    s.rpo_tolerance_hours                AS rpo_tolerance_hours,  -- added to both
    t.every_hours                        AS every_hours,          -- demanded backup interval
    t.daily_keep_days                    AS daily_keep_days,      -- daily points kept; null = not demanded
    t.weekly_keep_days                   AS weekly_keep_days,     -- weekly points kept; null = not demanded
    t.monthly_keep_days                  AS monthly_keep_days,    -- monthly points kept; null = not demanded
    t.yearly_keep_days                   AS yearly_keep_days,     -- yearly points kept; null = not demanded
    t.weekly_compliance                  AS weekly_compliance,    -- weekly points are a legal duty
    s.retention_tolerance_pct            AS retention_tolerance_pct, -- per cent by which a retention may be short
    t.max_missing_pct                    AS max_missing_pct,      -- per cent of promised days that may lack a point
    t.max_gap_days                       AS max_gap_days,         -- days in a row that may lack a point
    t.require_all_disks                  AS require_all_disks,    -- a disk left out of the backup is a fault of its own weight
    t.app_consistent                     AS app_consistent,       -- application-consistent points are demanded
    t.success_pct                        AS success_pct,          -- per cent of days on which the backup must have succeeded; null = not demanded
    s.period_days                        AS period_days,          -- the period that the success rate is judged over
    s.min_history_coverage_pct           AS min_history_coverage_pct, -- per cent of it that must be known
    s.accept_disk_backup                 AS accept_disk_backup,   -- Azure Disk Backup of all disks stands for a vault backup
    t.snapshot_daily_keep_days           AS snapshot_daily_keep_days, -- operational snapshots kept; null = not demanded
    s.new_vm_grace_hours                 AS new_vm_grace_hours,   -- a younger VM need not be protected yet
    s.initial_backup_grace_hours         AS initial_backup_grace_hours, -- after configuring, the first backup may take this long
    NOT list_has_any(n.lacking_tables, ['subscription', 'vault', 'protected_item']) AS protected_item_complete, -- all items of the tenant were read
    len(v.disk_ids) > 0 OR v.unmanaged OR v.os_disk_placement IS NOT NULL AS disks_sent, -- Azure said what disks it has
    NOT list_has_any(n.lacking_tables, ['snapshot', 'disk'])
        -- A snapshot whose source was not sent may be of this VM, and so may any where its own disks were not sent.
        AND (NOT EXISTS (SELECT 1 FROM live_snapshot) OR
             NOT EXISTS (SELECT 1 FROM live_snapshot x WHERE x.source_id IS NULL AND coalesce(x.create_option, 'Copy') IN ('Copy', 'CopyStart'))
             AND disks_sent) AS snapshot_complete, -- all snapshots and disks in scope were read, and whose they are
    NOT list_has_any(n.lacking_tables, ['restore_point_collection', 'restore_point']) AS restore_point_complete, -- all VM restore points in scope were read
    NOT list_has_any(n.lacking_tables, ['subscription', 'replicated_item']) AS replicated_item_complete, -- all replicated items of the tenant were read
    NOT list_has_any(n.lacking_tables, ['subscription', 'backup_instance']) AS backup_instance_complete -- all instances of Backup vaults of the tenant were read
FROM live_vm v
CROSS JOIN setting s
JOIN classified c ON c.resource_no = v.resource_no
JOIN tier t ON t.tier = c.tier
LEFT JOIN raw.resource_group g
    ON g.resource_id = '/subscriptions/' || v.subscription_id || '/resourcegroups/' || lower(v.resource_group)
LEFT JOIN known k ON k.kind = 'vm' AND k.key = v.resource_id
LEFT JOIN known h ON h.kind = 'deallocated' AND h.key = v.resource_id
LEFT JOIN known_subscription u ON u.subscription_id = v.subscription_id
JOIN tenant n ON n.tenant_id = coalesce(u.tenant_id, '');

CREATE TABLE vm_disk AS
-- table: vm_disk: managed disks attached to a VM; one row a disk
WITH attached AS (
    SELECT v.resource_no, unnest(list_prepend({'lun': NULL::INTEGER, 'disk_id': v.os_disk_id}, v.data_disks)) AS slot
    FROM live_vm v
)
SELECT
    a.resource_no                        AS vm_no,                -- key of the VM
    a.slot.disk_id                       AS disk_id,              -- lower-cased ARM id
    a.slot.lun                           AS lun,                  -- slot of a data disk; null = OS disk
    d.size_gib                           AS size_gib,             -- provisioned; null where the disk is not in the inventory
    d.sku                                AS sku,                  -- Premium_LRS, UltraSSD_LRS, ...
    d.max_shares                         AS max_shares,           -- more than 1 = shared between machines
    d.resource_no IS NOT NULL            AS was_read,             -- the disk itself is in the inventory, so that its size, kind and tags are known
    len(list_filter(folded(d.tags), lambda t: t.key = s.exclude_disk_tag AND lower(t.value) NOT IN ('false', 'no', 'none', '0'))) > 0
                                         AS may_be_left_out       -- it carries the standard's tag for disks that need no backup
FROM attached a CROSS JOIN setting s LEFT JOIN live_disk d ON d.resource_id = a.slot.disk_id
WHERE a.slot.disk_id IS NOT NULL;

CREATE VIEW disk AS
-- table: disk: managed disks in scope; one row each
SELECT
    d.resource_no                        AS resource_no,          -- key within this bundle
    d.resource_id                        AS resource_id,          -- lower-cased ARM id
    d.resource_name                      AS resource_name,        -- name as created
    d.resource_group                     AS resource_group,       -- name of the resource group
    d.subscription_id                    AS subscription_id,      -- lower-cased GUID
    d.vm_id                              AS vm_id,                -- VM it is attached to
    d.unique_id                          AS unique_id,            -- differs when re-created under the old name
    d.sku                                AS sku,                  -- Premium_LRS, ...
    d.size_gib                           AS size_gib,             -- provisioned
    c.class                              AS class,                -- class of the standard; null where none matches
    c.tier                               AS tier,                 -- tier it is judged by
    c.owner                              AS owner                 -- from the owner tags, else the class
FROM live_disk d
JOIN classified c ON c.resource_no = d.resource_no;
