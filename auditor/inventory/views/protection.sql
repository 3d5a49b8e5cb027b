-- The protection chain of each VM: item, vault, policy, recovery points; and which points its policy owes.

-- What a VM has beside a backup item. None of it is a backup: it may stand in for one only where the standard says so.
CREATE TABLE beside AS
WITH snapshots AS (SELECT vm_no, count(*) AS snapshot_count FROM vm_snapshot GROUP BY 1),
     points AS (
         SELECT c.vm_id, count(*) AS restore_point_count, min(hours_since(r.created_at)) AS newest
         FROM raw.restore_point r JOIN raw.restore_point_collection c ON c.resource_id = r.collection_id
         WHERE lower(coalesce(r.provisioning_state, 'succeeded')) = 'succeeded' GROUP BY 1
     ),
     instances AS (
         SELECT d.vm_no, count(DISTINCT d.disk_id) AS instance_count
         FROM vm_disk d JOIN raw.backup_instance b ON b.source_id = d.disk_id
         WHERE lower(b.current_protection_state) = 'protectionconfigured' GROUP BY 1
     ),
     replicas AS (
         SELECT vm_id, min(resource_id) AS replicated_item_id, max(tested_at) AS tested_at
         FROM raw.replicated_item WHERE lower(protection_state) = 'protected' GROUP BY 1
     ),
     sizes AS (
         SELECT vm_no, count(*) AS disk_count, max(size_gib) AS largest, sum(size_gib) AS total, max(max_shares) AS shares
         FROM vm_disk GROUP BY 1
     ),
     -- Backed up once, moved or made anew since: its item names an id that is no more. Only the name is left to find it by.
     orphans AS (
         SELECT lower(i.friendly_name) AS name, split_part(i.vm_id, '/', 3) AS subscription_id, min(i.resource_id) AS item_id
         FROM raw.protected_item i
         WHERE i.vm_id NOT IN (SELECT resource_id FROM live_vm) GROUP BY 1, 2 HAVING count(*) = 1
     )
SELECT v.resource_no AS vm_no,
       coalesce(s.snapshot_count, 0) AS snapshot_count, coalesce(p.restore_point_count, 0) AS restore_point_count,
       p.newest AS newest_restore_point, coalesce(n.instance_count, 0) AS instance_count, r.replicated_item_id, r.tested_at,
       coalesce(z.disk_count, 0) AS disk_count, o.item_id AS orphan_id,
       CASE
           WHEN lower(v.os_disk_placement) = 'local' AND v.data_disk_count > 0 THEN 'ephemeral_os_disk'
           WHEN z.shares > 1 THEN 'shared_disk'
           WHEN v.unmanaged AND v.data_disk_count > 16 THEN 'too_many_unmanaged_disks'
           WHEN v.data_disk_count > 32 THEN 'too_many_disks'
           WHEN z.largest > 32 * 1024 THEN 'disk_too_large'
           WHEN z.total > 256 * 1024 THEN 'disks_too_large'
       END AS unsupported_code
FROM live_vm v
LEFT JOIN snapshots s ON s.vm_no = v.resource_no
LEFT JOIN points p ON p.vm_id = v.resource_id
LEFT JOIN instances n ON n.vm_no = v.resource_no
LEFT JOIN replicas r ON r.vm_id = v.resource_id
LEFT JOIN sizes z ON z.vm_no = v.resource_no
LEFT JOIN orphans o ON o.name = lower(v.resource_name) AND o.subscription_id = v.subscription_id;

CREATE VIEW point AS
-- A point made by hand, hours after the run was due, fills its calendar day; a scheduled one the day of its run.
-- So does the week and the month: of a run that began after midnight those of the day it was due.
SELECT p.item_no, p.threat_status, p.consistency, p.day_no, CASE WHEN p.slot_hours > s.rpo_tolerance_hours THEN p.day_no ELSE p.slot_no END AS slot_no,
       p.instant,
       CASE WHEN p.slot_hours > s.rpo_tolerance_hours OR p.slot_no = p.day_no THEN p.week_no
            ELSE floor((p.slot_no + 3) / 7)::INTEGER END AS week_no,
       CASE WHEN p.slot_hours > s.rpo_tolerance_hours OR p.slot_no = p.day_no THEN p.month_no
            ELSE month_of(p.slot_no)::INTEGER END AS month_no,
       p.vaulted, p.disks_included, p.disks_attached, hours_since(p.point_at) AS age_hours
FROM raw.recovery_point p CROSS JOIN setting s
WHERE p.usable AND NOT p.soft_deleted AND p.point_at IS NOT NULL AND p.point_at <= s.as_of;

-- Items that a sample of the recovery points left out.
CREATE TABLE left_out AS
SELECT i.resource_id FROM raw.protected_item i CROSS JOIN setting s
WHERE s.points_sampled AND i.resource_id NOT IN (SELECT resource_id FROM sampled);

CREATE TABLE item AS
WITH points AS (
    SELECT item_no, arg_min({'included': disks_included, 'attached': disks_attached}, age_hours) AS newest_disks, count(*) AS point_count, count(*) FILTER (vaulted) AS vaulted_count, count(*) FILTER (vaulted IS NULL) AS tierless_count,
           min(age_hours) AS newest, min(age_hours) FILTER (vaulted) AS newest_vaulted, max(age_hours) AS oldest,
           max(age_hours) FILTER (vaulted) AS oldest_vaulted, min(slot_no) AS oldest_slot
    FROM point GROUP BY item_no
),
-- What is newer than the vault's newest point: so long transfers to the vault may have failed.
waiting AS (
    SELECT p.item_no, max(p.age_hours) AS age_hours FROM point p JOIN points q ON q.item_no = p.item_no
    WHERE p.age_hours < q.newest_vaulted GROUP BY p.item_no
),
-- A point that is deleted or in no usable tier shows that there was a backup once.
once AS (
    SELECT item_no, bool_or(point_at IS NULL) AS damaged, count(*) FILTER (soft_deleted) AS deleted_count,
           bool_or(coalesce(point_at <= (SELECT as_of FROM setting), true)) AS had_points
    FROM raw.recovery_point GROUP BY item_no
),
unread AS (
    SELECT DISTINCT resource_id FROM gap WHERE table_name = 'recovery_point'
    UNION SELECT resource_id FROM left_out
),
item AS (
    SELECT i.*, v.resource_no AS vm_no,
           coalesce(p.point_count, 0) AS point_count, coalesce(p.vaulted_count, 0) AS vaulted_count,
           coalesce(p.tierless_count, 0) AS tierless_count, p.newest_disks, p.newest, p.newest_vaulted, p.oldest, p.oldest_vaulted,
           p.oldest_slot, w.age_hours AS waiting, coalesce(o.deleted_count, 0) AS deleted_count,
           s.points_read AND u.resource_id IS NULL AND NOT coalesce(o.damaged, false) AS points_complete,
           coalesce(o.had_points, false) AS had_points,
           -- Where the points were read and all are of after the run's moment, so is what the item states of them.
           i.last_point_at IS NOT NULL AND NOT (points_complete AND i.last_point_at > s.as_of) AS states_point,
           i.last_backup_at IS NOT NULL AND NOT (points_complete AND i.last_backup_at > s.as_of) AS states_backup,
           k.first_seen,
           -- Resource Graph still shows it, the vault's own list, read whole, does not: which is right nobody knows yet.
           -- That it was read, and that the vault has such a list at all, shows in another item that it gave.
           NOT i.in_list AND i.vault_id IN (SELECT vault_id FROM raw.protected_item WHERE in_list)
               AND i.vault_id NOT IN (SELECT resource_id FROM gap WHERE table_name IN ('vault', 'protected_item'))
               AND i.subscription_id IN (SELECT subscription_id FROM read_wholly WHERE table_name = 'protected_item' AND whole) AS missed,
           lower(coalesce(nullif(i.protection_state, ''), i.current_protection_state, '')) AS word
    FROM raw.protected_item i
    CROSS JOIN setting s
    JOIN live_vm v ON v.resource_id = i.vm_id
    LEFT JOIN points p ON p.item_no = i.resource_no
    LEFT JOIN waiting w ON w.item_no = i.resource_no
    LEFT JOIN once o ON o.item_no = i.resource_no
    LEFT JOIN unread u ON u.resource_id = i.resource_id
    LEFT JOIN known k ON k.kind = 'protected_item' AND k.key = i.resource_id
    WHERE lower(coalesce(i.backup_management_type, 'azureiaasvm')) = 'azureiaasvm'
)
SELECT *,
    CASE
        WHEN missed THEN 'unknown'
        WHEN soft_deleted OR word = 'softdeleted' THEN 'soft_deleted'
        WHEN word = 'protectionstopped' THEN 'stopped'
        WHEN word = 'protectionpaused' THEN 'paused'
        WHEN word = 'backupssuspended' THEN 'suspended'
        WHEN word IN ('protectionerror', 'configuringprotectionfailed') THEN 'error'
        WHEN word IN ('irpending', 'configuringprotection') AND NOT had_points AND NOT states_point THEN 'initial_backup_pending'
        WHEN word IN ('irpending', 'configuringprotection') THEN 'protected'
        -- Where the points were not read this rests on the item alone; recovery_point_complete says so to the rules.
        WHEN word IN ('protected', 'protectionconfigured') AND NOT had_points
             AND NOT states_point AND NOT states_backup THEN 'initial_backup_pending'
        WHEN word IN ('protected', 'protectionconfigured') THEN 'protected'
        ELSE 'unknown'
    END AS state
FROM item;

-- Data disks that the choice of an item leaves out.
CREATE TABLE left_disk AS
SELECT i.resource_no AS item_no, count(*) AS excluded_count, count(*) FILTER (d.may_be_left_out) AS allowed_count,
       count(*) FILTER (NOT d.was_read) AS unread_count,
       string_agg(d.lun::VARCHAR, ', ' ORDER BY d.lun) AS excluded_luns
FROM item i JOIN vm_disk d ON d.vm_no = i.vm_no
WHERE i.selected_luns IS NOT NULL AND d.lun IS NOT NULL AND list_contains(i.selected_luns, d.lun) <> i.selected_are_included
GROUP BY 1;

CREATE TABLE protection AS
-- table: protection: the protection chain of each VM: item, vault, policy, points; one row a VM
WITH ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY vm_no
        ORDER BY CASE state WHEN 'protected' THEN 1 WHEN 'error' THEN 2 WHEN 'initial_backup_pending' THEN 3 WHEN 'unknown' THEN 4
                            WHEN 'soft_deleted' THEN 6 ELSE 5 END,
                 coalesce(newest, hours_since(last_point_at)) NULLS LAST, resource_id) AS choice,
        count(*) OVER (PARTITION BY vm_no) AS item_count,
        count(*) FILTER (state IN ('protected', 'error', 'initial_backup_pending')) OVER (PARTITION BY vm_no) AS active_count,
        bool_and(points_complete) OVER (PARTITION BY vm_no) AS all_points_complete,
        max(oldest_vaulted) FILTER (state <> 'soft_deleted') OVER (PARTITION BY vm_no) AS oldest_of_all
    FROM item
),
several AS (
    SELECT vm_no, string_agg(resource_id || ' (' || state || ')', ', ' ORDER BY resource_id) AS items
    FROM ranked WHERE item_count > 1 GROUP BY 1
),
chosen AS (SELECT * FROM ranked WHERE choice = 1),
configured AS (
    SELECT vault_id, container_name, max(started_at) AS configured_at FROM raw.backup_job
    WHERE lower(operation) = 'configurebackup' AND lower(status) IN ('completed', 'completedwithwarnings')
      AND started_at <= (SELECT as_of FROM setting) GROUP BY 1, 2
)
SELECT
    v.resource_no                        AS vm_no,                -- key of the VM
    CASE
        WHEN i.state IS NULL THEN CASE WHEN v.protected_item_complete THEN 'unprotected' ELSE 'unknown' END
        -- An unread vault may hold an active item: what stopped here may go on there.
        WHEN i.state IN ('stopped', 'paused', 'suspended', 'soft_deleted') AND NOT v.protected_item_complete THEN 'unknown'
        ELSE i.state
    END                                  AS state,                -- protected, error, initial_backup_pending, stopped, paused, suspended, soft_deleted, unprotected, unknown
    CASE WHEN i.state IS NULL AND v.protected_item_complete THEN
        CASE WHEN b.instance_count > 0 THEN 'disk_backup_only' WHEN b.replicated_item_id IS NOT NULL THEN 'replicated_only'
             WHEN b.snapshot_count + b.restore_point_count > 0 THEN 'snapshot_only'
             WHEN b.unsupported_code IS NOT NULL THEN 'unsupported' END
    END                                  AS fallback,             -- all that an unprotected VM has instead: disk_backup_only, replicated_only, snapshot_only; unsupported = Azure VM backup can't protect it as it is; null = nothing
    b.unsupported_code                   AS unsupported_code,     -- why Azure VM backup can't protect it as it is: ephemeral_os_disk, shared_disk, too_many_disks, ...; null = it can
    b.snapshot_count                     AS snapshot_count,       -- snapshots of its disks, whoever made them
    b.restore_point_count                AS restore_point_count,  -- VM restore points that Azure Backup did not make
    b.newest_restore_point               AS newest_restore_point_age_hours, -- null where there is none
    b.instance_count                     AS disk_backup_count,    -- its disks that Azure Disk Backup protects
    b.replicated_item_id                 AS replicated_item_id,   -- lower-cased id of its replica in Azure Site Recovery
    hours_since(b.tested_at)             AS test_failover_age_hours, -- since its last good test failover; null = never
    CASE WHEN i.state IS NULL THEN b.orphan_id END AS moved_item_id, -- item of a VM of this name that is no more: perhaps it was moved; a hint, no proof
    i.resource_no                        AS item_no,              -- key of the protected item that counts
    i.resource_id                        AS item_id,              -- its lower-cased ARM id
    coalesce(i.item_count, 0)            AS item_count,           -- items of this VM in all vaults, whatever their state
    coalesce(i.active_count, 0)          AS active_item_count,    -- those of them that make points
    s.items                              AS all_items,            -- all of them with their states, where there are several
    i.vault_id                           AS vault_id,             -- lower-cased ARM id
    coalesce(w.resource_name, split_part(i.vault_id, '/', 9)) AS vault_name, -- name of the vault
    i.protection_state                   AS protection_state,     -- as Azure words it
    i.last_backup_status                 AS last_backup_status,   -- Completed, Failed, ...; of the last attempt
    i.health_status                      AS health_status,        -- Passed, ActionRequired, ...
    i.persistent_fault                   AS persistent_fault,     -- one of its health indicators is persistently bad; null where Azure sent none
    i.policy_inconsistent                AS policy_inconsistent,  -- it does not follow its policy; null where Azure does not say
    b.disk_count                         AS disk_count,           -- managed disks attached now, OS disk included
    coalesce(x.excluded_count, 0)        AS excluded_disk_count,  -- data disks that the item leaves out
    coalesce(x.allowed_count, 0)         AS allowed_disk_count,   -- those of them that carry the standard's tag for it
    coalesce(x.unread_count, 0)          AS unread_excluded_disk_count, -- those of them that could not be read, so that nobody knows their tags
    x.excluded_luns                      AS excluded_luns,        -- their slots
    CASE WHEN i.points_complete THEN i.newest_disks.included END AS newest_point_disks_included, -- disks in the newest point; null where Azure does not say
    CASE WHEN i.points_complete THEN i.newest_disks.attached END AS newest_point_disks_attached, -- disks of the VM when it was taken
    i.policy_id                          AS policy_id,            -- lower-cased ARM id; null after stop with retain
    coalesce(p.resource_name, split_part(i.policy_id, '/', 11)) AS policy_name, -- name of the backup policy
    p.resource_id IS NOT NULL AND (coalesce(p.retention_policy_type, '') = 'LongTermRetentionPolicy'
        OR coalesce(p.daily_count, p.weekly_count, p.monthly_count, p.yearly_count) IS NOT NULL) AS policy_known, -- its retention could be read
    p.schedule                           AS schedule,             -- hourly, daily, weekly
    p.time_zone                          AS time_zone,            -- Windows zone id; null = UTC
    p.policy_type                        AS policy_type,          -- V1 = Standard, V2 = Enhanced
    CASE p.schedule WHEN 'hourly' THEN
                        -- Hourly runs stop where their window ends; until it opens again there is none.
                        greatest(p.hourly_interval, 24 - p.hourly_interval * floor(p.hourly_window / nullif(p.hourly_interval, 0)))
                    WHEN 'daily' THEN 24
                    WHEN 'weekly' THEN 24 * coalesce(p.run_gap_days, 7) + 168 * (p.weekly_frequency - 1) END::DOUBLE AS schedule_hours, -- most that lies between two scheduled backups: of an hourly schedule the hours in which its window is shut, of a weekly one the days that it leaves out; null = not known
    p.snapshot_consistency               AS policy_consistency,   -- OnlyCrashConsistent; empty = as consistent as can be
    keep_days(p.daily_count, p.daily_unit)     AS policy_daily_days,   -- daily retention promised; null = none
    keep_days(p.weekly_count, p.weekly_unit)   AS policy_weekly_days,  -- weekly retention promised; null = none
    keep_days(p.monthly_count, p.monthly_unit) AS policy_monthly_days, -- monthly retention promised; null = none
    keep_days(p.yearly_count, p.yearly_unit)   AS policy_yearly_days,  -- yearly retention promised; null = none
    CASE WHEN i.points_complete THEN 'recovery_points' WHEN i.resource_id IS NOT NULL THEN 'item' END AS point_source, -- where the ages come from
    CASE WHEN i.points_complete THEN i.newest
         -- What the item itself says stands in only where reading its points was not asked for.
         WHEN NOT (SELECT points_read FROM setting) THEN hours_since(i.last_point_at) END AS newest_point_age_hours, -- any usable tier
    CASE WHEN i.points_complete THEN i.newest_vaulted END AS newest_vaulted_point_age_hours, -- in the vault or archive; null = none
    CASE WHEN i.points_complete THEN i.waiting END AS waiting_point_age_hours, -- oldest of the points that are newer than the vault's newest; null = none is, or the vault has none
    CASE WHEN i.points_complete THEN i.oldest END AS oldest_point_age_hours, -- of any usable tier
    i.oldest_of_all                      AS oldest_vaulted_point_age_hours, -- of the points in a vault, of all items of the VM that are not deleted; null = none was found
    coalesce(i.all_points_complete, false) AS all_points_complete, -- the points of all its items were read
    CASE WHEN i.points_complete THEN i.deleted_count END AS deleted_point_count, -- points that somebody deleted and that are not purged yet
    CASE WHEN i.points_complete THEN i.point_count END AS point_count,     -- usable points, not deleted
    CASE WHEN i.points_complete THEN i.tierless_count END AS points_without_tier, -- points whose tier Azure did not send
    coalesce(i.points_complete, false)   AS recovery_point_complete, -- all points of the item were read
    i.resource_id IN (SELECT resource_id FROM left_out) AS left_out_of_sample, -- its points were not read because only a sample was
    CASE WHEN i.deferred_delete_at > (SELECT as_of FROM setting) THEN -hours_since(i.deferred_delete_at) END AS purge_in_hours, -- until a softly deleted item is erased; null where Azure does not say
    coalesce(hours_since(i.first_seen), 0.0) AS known_hours,      -- since our own runs first saw the item; 0 on the first run
    greatest(coalesce(hours_since(i.first_seen), 0.0), hours_since(c.configured_at)) AS configured_hours, -- since it was configured, by the last job that did so, or since our own runs first saw it
    coalesce(hours_since(e.first_seen), 0.0) AS retention_known_hours, -- since our own runs saw its policy keep what it keeps now; 0 on the first run
    i.vault_id NOT IN (SELECT resource_id FROM gap WHERE table_name = 'backup_job')
        AND i.subscription_id NOT IN (SELECT subscription_id FROM covered WHERE table_name = 'backup_job' AND NOT whole)
        AND NOT EXISTS (SELECT 1 FROM never_asked WHERE table_name = 'backup_job') AS backup_job_complete, -- the jobs of its vault were read
    CASE WHEN p.resource_id IS NOT NULL THEN least(
             floor((epoch((SELECT as_of FROM setting)) + p.standard_offset_minutes * 60) / 86400),
             floor((epoch((SELECT as_of FROM setting)) + (p.standard_offset_minutes - coalesce(p.run_minutes, 0)) * 60
                    - (SELECT rpo_tolerance_hours FROM setting) * 3600) / 86400) + 1)::INTEGER END AS today_no, -- first day not judged: today in the policy's zone, or the day whose run began only just now; null for an unknown zone
    i.oldest_slot                        AS oldest_day_no,        -- day of its oldest point, counted from run to run
    floor((epoch(k.first_seen) + (p.standard_offset_minutes - coalesce(p.run_minutes, 0)) * 60) / 86400)::INTEGER AS promise_day_no -- day our own runs first saw the item under this policy as it is; null on the first
FROM vm v
LEFT JOIN chosen i ON i.vm_no = v.resource_no
LEFT JOIN several s ON s.vm_no = v.resource_no
LEFT JOIN beside b ON b.vm_no = v.resource_no
LEFT JOIN left_disk x ON x.item_no = i.resource_no
LEFT JOIN configured c ON c.vault_id = i.vault_id AND c.container_name = i.container_name
LEFT JOIN raw.backup_policy p ON p.resource_id = i.policy_id
LEFT JOIN live_vault w ON w.resource_id = i.vault_id
LEFT JOIN known e ON e.kind = 'retention' AND e.key = concat_ws('|', i.resource_id, spans(p.daily_count, p.daily_unit,
    p.weekly_count, p.weekly_unit, p.monthly_count, p.monthly_unit, p.yearly_count, p.yearly_unit))
LEFT JOIN known k ON k.kind = 'promise' AND k.first_seen < (SELECT as_of FROM setting)
    AND k.key = promise(i.resource_id, p.resource_id, p.schedule, p.daily_count, p.daily_unit);

CREATE TABLE running AS
-- table: running: what a rule on running protection says of a VM before it looks at it; one row a VM
SELECT
    v.resource_no                        AS vm_no,                -- key of the VM
    CASE WHEN v.excluded_code IS NOT NULL THEN 'not_applicable'
         WHEN v.backup_required = false THEN 'not_applicable'
         WHEN p.state = 'unknown' THEN 'unknown'
         WHEN p.state NOT IN ('protected', 'error', 'initial_backup_pending') THEN 'not_applicable'
    END                                  AS idle_status,          -- not_applicable or unknown; null where an active item is there to be judged
    CASE WHEN v.excluded_code IS NOT NULL THEN v.excluded_code
         WHEN v.backup_required = false THEN 'tier_demands_no_backup'
         WHEN p.state = 'unknown' AND NOT v.protected_item_complete THEN 'protected_item_incomplete'
         WHEN p.state = 'unknown' THEN 'protection_unknown'
         WHEN p.state = 'unprotected' THEN 'judged_by:vm-unprotected'
         WHEN p.state NOT IN ('protected', 'error', 'initial_backup_pending') THEN 'judged_by:vm-protection-stopped'
    END                                  AS idle_reason           -- its reason code
FROM vm v JOIN protection p ON p.vm_no = v.resource_no;

CREATE VIEW recovery_point AS
-- table: recovery_point: usable recovery points of all items of a VM; one row a point
SELECT
    i.vm_no                              AS vm_no,                -- key of the VM
    p.item_no                            AS item_no,              -- key of the protected item
    p.day_no                             AS day_no,               -- day of the policy's zone, since 1970-01-01
    p.slot_no                            AS slot_no,              -- day that it fills: of its scheduled run, even where that began after midnight; its calendar day where it was made by hand
    p.week_no                            AS week_no,              -- ISO week of the policy's zone; of a scheduled backup that of its run
    p.month_no                           AS month_no,             -- month of the policy's zone: year * 12 + month - 1; of a scheduled backup that of its run
    p.age_hours                          AS age_hours,            -- since its snapshot was taken
    p.vaulted                            AS vaulted,              -- in the vault or archive; null where Azure names no tier
    lower(p.consistency)                 AS consistency,          -- appconsistent, filesystemconsistent, crashconsistent; null where Azure does not say
    lower(p.threat_status)               AS threat                -- healthy, warning, unhealthy, ...; null where nobody looked
FROM point p JOIN item i ON i.resource_no = p.item_no;

-- Since when a policy promises daily points is known from our own earlier runs. Without them it shows in the points: where
-- three days in a row have one, daily backups ran. Older points that stand alone are the weekly and monthly ones kept
-- longer, of a time when the policy may have been another.
CREATE TABLE daily_since AS
WITH slot AS (SELECT DISTINCT item_no, slot_no FROM point),
     run AS (
         SELECT item_no, slot_no, lead(slot_no, 2) OVER (PARTITION BY item_no ORDER BY slot_no) AS third FROM slot
     )
SELECT item_no, min(slot_no) AS slot_no FROM run WHERE third = slot_no + 2 GROUP BY item_no;

CREATE TABLE expected_day AS
-- table: expected_day: days for which a daily or hourly policy promises a point and that can be judged; one row a VM and day
SELECT
    p.vm_no                              AS vm_no,                -- key of the VM
    p.item_no                            AS item_no,              -- key of its protected item; points of others do not count
    unnest(range(greatest(p.today_no - floor(p.policy_daily_days)::INTEGER + 1, p.oldest_day_no,
                          least(d.slot_no, coalesce(p.promise_day_no, d.slot_no))),
                 p.today_no))::INTEGER   AS slot_no               -- day of the scheduled run, in the policy's zone, since 1970-01-01
FROM protection p LEFT JOIN daily_since d ON d.item_no = p.item_no
WHERE p.state IN ('protected', 'error') AND p.schedule IN ('daily', 'hourly') AND p.policy_daily_days IS NOT NULL
  AND p.today_no IS NOT NULL AND p.oldest_day_no IS NOT NULL AND (d.slot_no IS NOT NULL OR p.promise_day_no IS NOT NULL);

-- Since when a policy promises weekly and monthly points, seen in the points as for the daily ones: three in a row.
CREATE TABLE expected_period AS
-- table: expected_period: ISO weeks and months for which the policy of a VM's item promises a point of their own; one row a VM that is judged
WITH week AS (SELECT DISTINCT item_no, week_no FROM point WHERE vaulted),
     week_row AS (SELECT item_no, week_no, lead(week_no, 2) OVER (PARTITION BY item_no ORDER BY week_no) AS third FROM week),
     week_since AS (SELECT item_no, min(week_no) AS week_no FROM week_row WHERE third = week_no + 2 GROUP BY 1),
     month AS (SELECT DISTINCT item_no, month_no FROM point WHERE vaulted),
     month_row AS (SELECT item_no, month_no, lead(month_no, 2) OVER (PARTITION BY item_no ORDER BY month_no) AS third FROM month),
     month_since AS (SELECT item_no, min(month_no) AS month_no FROM month_row WHERE third = month_no + 2 GROUP BY 1),
     bound AS (
         SELECT p.vm_no, p.item_no, w.week_no AS week_since, m.month_no AS month_since,
                -- What the daily points still reach is judged day by day. Then only whole weeks and months count.
                p.today_no - coalesce(ceil(p.policy_daily_days), 0)::INTEGER AS end_day,
                CASE WHEN coalesce(p.schedule_hours <= 168, true) THEN p.today_no - floor(p.policy_weekly_days)::INTEGER END AS week_day,
                p.today_no - floor(p.policy_monthly_days)::INTEGER AS month_day,
                -- What our own runs saw promised is owed, points or none.
                CASE WHEN p.retention_known_hours > 0 THEN p.today_no - floor(p.retention_known_hours / 24)::INTEGER END AS known_day
         FROM protection p LEFT JOIN week_since w USING (item_no) LEFT JOIN month_since m USING (item_no)
         WHERE p.state IN ('protected', 'error') AND p.today_no IS NOT NULL
     )
SELECT
    b.vm_no                              AS vm_no,                -- key of the VM
    b.item_no                            AS item_no,              -- key of its protected item; points of others do not count
    CASE WHEN b.week_day IS NOT NULL AND (b.week_since IS NOT NULL OR b.known_day IS NOT NULL)
         THEN greatest(least(b.week_since, ceil((b.known_day + 3) / 7.0)), ceil((b.week_day + 4) / 7.0))::INTEGER END AS first_week_no, -- first ISO week that owes a point; null where there is no weekly promise, or since when is not known
    ceil((b.end_day - 3) / 7.0)::INTEGER AS end_week_no,          -- first ISO week that owes none any more
    CASE WHEN b.month_day IS NOT NULL AND (b.month_since IS NOT NULL OR b.known_day IS NOT NULL)
         THEN greatest(least(b.month_since, month_of(b.known_day) + 1), month_of(b.month_day) + 1)::INTEGER END AS first_month_no, -- first month that owes a point; null where there is no monthly promise, or since when is not known
    month_of(b.end_day)::INTEGER         AS end_month_no          -- first month that owes none any more
FROM bound b;

CREATE TABLE backup_run AS
-- table: backup_run: backup jobs of the item that counts, as far as its vault remembers them; one row a job
SELECT
    p.vm_no                              AS vm_no,                -- key of the VM
    j.resource_name                      AS job_name,             -- GUID of the job
    hours_since(j.started_at)            AS age_hours,            -- since it began
    lower(j.status)                      AS status,               -- inprogress, completed, completedwithwarnings, failed, cancelled
    NOT coalesce(j.user_triggered, false) AS scheduled,           -- false = somebody started it
    j.error_code::VARCHAR                AS error_code,           -- of a failure
    j.error_text                         AS error_text            -- of a failure, in Azure's words
FROM raw.backup_job j
JOIN raw.protected_item i ON i.vault_id = j.vault_id AND i.container_name = j.container_name
JOIN protection p ON p.item_no = i.resource_no
WHERE lower(j.operation) = 'backup' AND j.started_at <= (SELECT as_of FROM setting);

CREATE TABLE backup_history AS
-- table: backup_history: on how many days of the period backups succeeded, by the jobs that this run and earlier ones saw; one row a VM
WITH told AS (
    SELECT p.vm_no, p.schedule, right(split_part(k.value, ':', 2), s.period_days::INTEGER) AS letters
    FROM protection p CROSS JOIN setting s
    JOIN known k ON k.kind = 'backup_days' AND k.key = p.item_id
),
since AS (SELECT *, ltrim(letters, '-?') AS own FROM told)
SELECT
    t.vm_no                              AS vm_no,                -- key of the VM
    length(replace(t.letters, '?', ''))  AS covered_days,         -- days of the period whose jobs were read
    CASE WHEN t.schedule = 'weekly' THEN length(regexp_replace(t.own, '[-?]', '', 'g'))
         ELSE length(replace(t.own, '?', '')) END AS run_days,    -- those of them that should have had a backup, from the first one on
    length(replace(t.own, '?', ''))      AS own_days,             -- those of them since the first backup, whether one was due or not
    length(regexp_replace(t.own, '[^S]', '', 'g')) AS success_days, -- those on which one succeeded
    CASE WHEN t.schedule = 'weekly' THEN NULL
         ELSE list_max(list_transform(regexp_split_to_array(t.own, '[S?]'), lambda run: length(run))) END AS longest_gap_days -- without a success, in a row; null for weekly schedules
FROM since t;

-- What a VM's own tag or its vault's refers to, where the standard accepts such a reference, and since when.
CREATE TABLE change_reference AS
WITH tagged AS (
    SELECT resource_id, tags FROM live_vm UNION ALL SELECT resource_id, tags FROM live_vault
),
referring AS (
    SELECT t.resource_id, trim(list_filter(map_entries(t.tags), lambda e: lower(trim(e.key)) = s.change_tag)[1].value) AS reference
    FROM tagged t CROSS JOIN setting s WHERE s.change_tag IS NOT NULL
)
SELECT r.resource_id, r.reference, k.first_seen
FROM referring r JOIN known k ON k.kind = 'change' AND k.key = concat_ws('|', r.resource_id, r.reference);

CREATE TABLE earlier_retention AS
-- table: earlier_retention: what the policies of a VM's item kept before, by earlier runs; one row a VM and state that is no more
SELECT
    p.vm_no                              AS vm_no,                -- key of the VM
    hours_since(k.last_seen)             AS last_seen_hours,      -- since a run last saw it
    split_part(k.value, '|', 1)::DOUBLE  AS daily_days,           -- 0 = none
    split_part(k.value, '|', 2)::DOUBLE  AS weekly_days,          -- 0 = none
    split_part(k.value, '|', 3)::DOUBLE  AS monthly_days,         -- 0 = none
    split_part(k.value, '|', 4)::DOUBLE  AS yearly_days,          -- 0 = none
    c.reference                          AS change_ref            -- change that the standard's tag on the VM or its vault refers to, set since that run; null = none
FROM known k
JOIN protection p ON p.item_id = split_part(k.key, '|', 1)
LEFT JOIN (
    SELECT p.vm_no, max(r.first_seen) AS first_seen, arg_max(r.reference, r.first_seen) AS reference
    FROM (SELECT q.vm_no, v.resource_id FROM protection q JOIN vm v ON v.resource_no = q.vm_no
          UNION ALL SELECT vm_no, vault_id FROM protection) p
    JOIN change_reference r ON r.resource_id = p.resource_id GROUP BY 1
) c ON c.vm_no = p.vm_no AND c.first_seen >= k.last_seen
WHERE k.kind = 'retention' AND k.last_seen < (SELECT as_of FROM setting);

CREATE TABLE earlier_guard AS
-- table: earlier_guard: how a VM's vault was guarded against deletion before, and is now; one row a VM and state that is no more
WITH state AS (
    SELECT split_part(key, '|', 1) AS vault_id, last_seen, split_part(value, '|', 1)::INTEGER AS soft_delete_days,
           CASE split_part(value, '|', 2) WHEN 'alwayson' THEN 2 WHEN 'enabled' THEN 1 WHEN 'disabled' THEN 0 END AS soft_delete_rank,
           CASE split_part(value, '|', 3) WHEN 'locked' THEN 2 WHEN 'unlocked' THEN 1 ELSE 0 END AS immutability_rank
    FROM known WHERE kind = 'guard'
)
SELECT
    p.vm_no                              AS vm_no,                -- key of the VM
    hours_since(o.last_seen)             AS last_seen_hours,      -- since a run last saw it
    -- Nothing stands for days that were not sent; that soft delete is off, its state says.
    nullif(o.soft_delete_days, 0) - nullif(n.soft_delete_days, 0) AS soft_delete_cut_days, -- days by which soft delete is shorter now; below 0 = longer; null = not known
    o.soft_delete_rank IS NOT NULL AND n.soft_delete_rank IS NULL AS unread, -- the state of soft delete was known then and is not now
    o.soft_delete_rank > n.soft_delete_rank OR o.immutability_rank > n.immutability_rank AS loosened, -- soft delete or immutability is weaker now
    c.reference                          AS change_ref            -- change that the standard's tag on the vault refers to, set since that run; null = none
FROM state o
JOIN state n ON n.vault_id = o.vault_id AND n.last_seen = (SELECT as_of FROM setting)
JOIN protection p ON p.vault_id = o.vault_id
LEFT JOIN change_reference c ON c.resource_id = o.vault_id AND c.first_seen >= o.last_seen
WHERE o.last_seen < (SELECT as_of FROM setting);

CREATE TABLE earlier_expiry AS
-- table: earlier_expiry: points made by hand that an earlier run saw kept for longer than now; one row a VM and point
SELECT
    p.vm_no                              AS vm_no,                -- key of the VM
    hours_since(k.last_seen)             AS last_seen_hours,      -- since a run last saw the later end
    (k.value::BIGINT - epoch(r.expires_at)) / 86400 AS cut_days   -- days by which it ends sooner
FROM known k
JOIN protection p ON p.item_id = split_part(k.key, '|', 1)
JOIN raw.recovery_point r ON r.item_no = p.item_no AND r.resource_name = split_part(k.key, '|', 2)
WHERE k.kind = 'expiry' AND k.last_seen < (SELECT as_of FROM setting) AND NOT r.soft_deleted
  -- Azure may round the end anew.
  AND epoch(r.expires_at) < k.value::BIGINT - 3600;
