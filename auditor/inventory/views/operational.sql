-- The operational tier: days on which a VM can be rolled back quickly, from whichever source its tier accepts.

CREATE TABLE operational AS
-- table: operational: which days of a VM's operational tier are judged, and whether all that may count was read; one row a VM
WITH clock AS (SELECT epoch(as_of) AS seconds FROM setting),
     items AS (SELECT vm_no, bool_and(points_complete) AS points_complete FROM item GROUP BY 1),
     placed AS (
         SELECT v.resource_no AS vm_no, r.policy_type, r.instant_restore_days, floor(t.snapshot_daily_keep_days)::INTEGER AS keep_days,
                t.snapshot_max_missing AS max_missing, coalesce(t.snapshot_accept, []) AS accept,
                -- Days are those of the policy's zone; without a policy they are UTC's.
                CASE WHEN r.resource_id IS NULL THEN 0 ELSE r.standard_offset_minutes END AS zone_minutes,
                CASE WHEN r.resource_id IS NULL THEN floor(k.seconds / 86400)::INTEGER ELSE p.today_no END AS today_no,
                floor((k.seconds - v.age_hours * 3600) / 60 / 1440 + CASE WHEN r.resource_id IS NULL THEN 0
                      ELSE r.standard_offset_minutes END / 1440)::INTEGER AS birth_no,
                coalesce(i.points_complete, true) AS points_complete,
                -- A VM has one active item: where it was found, no other vault holds points of these days.
                v.protected_item_complete OR p.state IN ('protected', 'error', 'initial_backup_pending') AS protected_item_complete,
                v.restore_point_complete, v.snapshot_complete, v.backup_instance_complete
         FROM vm v
         CROSS JOIN clock k
         JOIN tier t ON t.tier = v.tier
         JOIN protection p ON p.vm_no = v.resource_no
         LEFT JOIN raw.backup_policy r ON r.resource_id = p.policy_id
         LEFT JOIN items i ON i.vm_no = v.resource_no
     )
SELECT
    o.vm_no                              AS vm_no,                -- key of the VM
    array_to_string(o.accept, ', ')      AS accepted,             -- sources that its tier accepts
    list_contains(o.accept, 'instant_restore') AS accepts_instant_restore, -- the snapshots of Azure VM backup count
    list_contains(o.accept, 'restore_point') AS accepts_restore_point, -- VM restore points count
    list_contains(o.accept, 'disk_backup') AS accepts_disk_backup, -- the snapshots of Azure Disk Backup count
    list_contains(o.accept, 'snapshot')  AS accepts_snapshot,     -- other snapshots of its disks count
    o.keep_days                          AS keep_days,            -- days that the tier demands; null = none
    o.max_missing                        AS max_missing,          -- of them this many may be missing
    o.policy_type                        AS policy_type,          -- V1 = Standard, V2 = Enhanced; null = no policy
    o.instant_restore_days               AS instant_restore_days, -- days that the policy keeps its snapshots
    o.zone_minutes                       AS zone_minutes,         -- ahead of UTC; null for a zone that is not known
    greatest(o.today_no - o.keep_days, o.birth_no + 1) AS first_day_no, -- first judged day: the VM's first whole one, if that is later
    o.today_no                           AS today_no,             -- first day not judged; null for an unknown zone
    o.today_no - greatest(o.today_no - o.keep_days, o.birth_no + 1) AS judged_days, -- whole days that are judged; 0 or less for a VM made today
    NOT list_contains(o.accept, 'instant_restore') OR o.points_complete AS recovery_point_complete, -- all points of all its items were read, or none count
    NOT list_contains(o.accept, 'instant_restore') OR o.protected_item_complete AS protected_item_complete, -- its active item or all items of the tenant were read, or none count
    nullif(concat_ws(', ',
        CASE WHEN list_contains(o.accept, 'restore_point') AND NOT o.restore_point_complete THEN 'restore_point' END,
        CASE WHEN list_has_any(o.accept, ['snapshot', 'disk_backup']) AND NOT o.snapshot_complete THEN 'snapshot' END,
        CASE WHEN list_contains(o.accept, 'disk_backup') AND NOT o.backup_instance_complete THEN 'backup_instance' END
    ), '')                               AS unread                -- other tables that may hold what is missing and were not read whole; null = none
FROM placed o;

CREATE TABLE operational_day AS
-- table: operational_day: judged days on which a VM has a point of an accepted source; one row a VM and day
WITH copied AS (
    SELECT DISTINCT d.vm_no, floor((epoch(x.created_at) + o.zone_minutes * 60) / 86400)::INTEGER AS day_no, d.disk_id
    FROM vm_disk d
    JOIN snapshot s ON s.source_id = d.disk_id
    JOIN raw.snapshot x ON x.resource_no = s.resource_no
    JOIN operational o ON o.vm_no = d.vm_no
    -- Of another disk of that name, or not yet arrived whole: no point to go back to.
    WHERE NOT s.source_replaced AND coalesce(s.completion_percent, 100) >= 100
      AND CASE WHEN s.provenance = 'azure_disk_backup' THEN o.accepts_disk_backup ELSE o.accepts_snapshot END
),
-- Every disk that must not be left out; a data disk from the day after it was made.
needed AS (
    SELECT d.vm_no, d.disk_id, CASE WHEN d.lun IS NOT NULL THEN floor((epoch(x.created_at) + o.zone_minutes * 60) / 86400)::INTEGER END AS birth_no
    FROM vm_disk d JOIN operational o ON o.vm_no = d.vm_no LEFT JOIN live_disk x ON x.resource_id = d.disk_id
    WHERE NOT d.may_be_left_out
),
whole AS (
    SELECT c.vm_no, c.day_no
    FROM (SELECT DISTINCT vm_no, day_no FROM copied) c
    JOIN needed n ON n.vm_no = c.vm_no AND coalesce(n.birth_no < c.day_no, true)
    LEFT JOIN copied k ON k.vm_no = c.vm_no AND k.day_no = c.day_no AND k.disk_id = n.disk_id
    GROUP BY 1, 2 HAVING count(k.disk_id) = count(*)
),
every AS (
    SELECT o.vm_no, o.first_day_no, o.today_no, p.slot_no AS day_no, 'instant_restore' AS source,
           -- Where Azure names no tier, the policy's promise must do.
           coalesce(p.instant, o.instant_restore_days >= o.keep_days, false) AS proven
    FROM point p JOIN item i ON i.resource_no = p.item_no
    JOIN operational o ON o.vm_no = i.vm_no
    WHERE coalesce(p.instant, true) AND o.accepts_instant_restore
    UNION ALL
    SELECT o.vm_no, o.first_day_no, o.today_no, floor((epoch(r.created_at) + o.zone_minutes * 60) / 86400)::INTEGER, 'restore_point', true
    FROM raw.restore_point r
    JOIN raw.restore_point_collection c ON c.resource_id = r.collection_id
    JOIN live_vm v ON v.resource_id = c.vm_id
    JOIN operational o ON o.vm_no = v.resource_no
    WHERE r.excluded_disk_count = 0 AND lower(coalesce(r.provisioning_state, 'succeeded')) = 'succeeded'
      AND o.accepts_restore_point
    UNION ALL
    -- Snapshots of some of its disks are not a VM.
    SELECT o.vm_no, o.first_day_no, o.today_no, c.day_no, 'snapshot', true
    FROM whole c JOIN operational o ON o.vm_no = c.vm_no
)
SELECT
    e.vm_no                              AS vm_no,                -- key of the VM
    e.day_no                             AS day_no,               -- day of the policy's zone, since 1970-01-01; of a scheduled backup that of its run
    bool_or(e.proven)                    AS proven,               -- false where Azure did not say whether the snapshot is still there
    string_agg(DISTINCT e.source, ', ' ORDER BY e.source) AS sources -- instant_restore, restore_point, snapshot
FROM every e
WHERE e.day_no >= e.first_day_no AND e.day_no < e.today_no
GROUP BY 1, 2;
