-- Recovery points of the protected items of VMs in scope, read item by item from the vaults.
SELECT
    subject_no                                     AS item_no,               -- resource_no of the protected item
    r.name                                         AS resource_name,         -- id of the point within its item
    try_cast(r.properties.recoveryPointTime AS TIMESTAMPTZ) AS point_at,     -- when its snapshot was taken
    r.properties.recoveryPointType                 AS consistency,           -- AppConsistent, CrashConsistent, FileSystemConsistent
    coalesce(len(list_filter(tiers, lambda t: lower(t.status) IN ('valid', 'rehydrated'))) > 0, true)
                                                   AS usable,                -- in at least one tier; true where Azure names none
    len(list_filter(tiers, lambda t:
        (lower(t.type) = 'hardenedrp' AND lower(t.status) = 'valid')
        OR (lower(t.type) = 'archivedrp' AND lower(t.status) IN ('valid', 'rehydrated')))) > 0
                                                   AS vaulted,               -- in the vault or its archive, not only a snapshot; null where Azure names no tier
    len(list_filter(tiers, lambda t: lower(t.type) = 'instantrp' AND lower(t.status) = 'valid')) > 0
                                                   AS instant,               -- its snapshot is still there, for a quick restore; null where Azure names no tier
    coalesce(r.properties.recoveryPointProperties.isSoftDeleted, false) AS soft_deleted, -- deleted, not yet purged
    try_cast(r.properties.recoveryPointProperties.expiryTime AS TIMESTAMPTZ) AS expires_at, -- null where Azure does not say
    r.properties.recoveryPointProperties.ruleName  AS rule_name,             -- Daily, Weekly, ...; free text
    len(list_filter(tiers, lambda t: lower(t.type) = 'archivedrp' AND lower(t.status) IN ('valid', 'rehydrated'))) > 0
                                                   AS archived,              -- in the archive tier; null where Azure names no tier
    r.properties.recoveryPointDiskConfiguration.numberOfDisksIncludedInBackup AS disks_included, -- null where Azure does not say
    r.properties.recoveryPointDiskConfiguration.numberOfDisksAttachedToVm AS disks_attached, -- when it was taken
    r.properties.threatStatus                      AS threat_status,         -- null where nobody looked
    coalesce(r.properties.recoveryPointProperties.immutabilityProperties.isImmutable, false) AS immutable -- it can't be deleted before its end
FROM (
    -- An empty list names no tier, just as none at all.
    SELECT subject_no, r, CASE WHEN len(r.properties.recoveryPointTierDetails) > 0
                               THEN r.properties.recoveryPointTierDetails END AS tiers
    FROM (SELECT subject_no, unnest(from_json(body, '{"value": [{
        "name": "VARCHAR",
        "properties": {
            "recoveryPointTime": "VARCHAR", "recoveryPointType": "VARCHAR",
            "recoveryPointTierDetails": [{"type": "VARCHAR", "status": "VARCHAR"}],
            "recoveryPointProperties": {"isSoftDeleted": "BOOLEAN", "expiryTime": "VARCHAR", "ruleName": "VARCHAR",
                                        "immutabilityProperties": {"isImmutable": "BOOLEAN"}},
            "recoveryPointDiskConfiguration": {"numberOfDisksIncludedInBackup": "INTEGER", "numberOfDisksAttachedToVm": "INTEGER"},
            "threatStatus": "VARCHAR"}
    }]}').value) AS r
    FROM page)
);
-- Days, ISO weeks and months are those of the policy's time zone without daylight saving: Azure Backup keeps a
-- schedule at its standard time all year. A zone id that is not known leaves them null; without a policy it is UTC.
WITH local AS (
    SELECT s.*, CASE WHEN p.resource_id IS NULL THEN 0 ELSE p.standard_offset_minutes END AS minutes,
           coalesce(p.run_minutes, 0) AS run_minutes
    FROM staged s
    JOIN protected_item i ON i.resource_no = s.item_no
    LEFT JOIN backup_policy p ON p.resource_id = i.policy_id
)
SELECT * EXCLUDE (minutes, run_minutes),
    floor(epoch(point_at + to_minutes(minutes)) / 86400)::INTEGER AS day_no,            -- days since 1970-01-01
    floor(epoch(point_at + to_minutes(minutes - run_minutes)) / 86400)::INTEGER AS slot_no, -- day whose scheduled run it belongs to: counted from run to run, so that a late run stays on its day
    round(((epoch(point_at) / 60 + minutes - run_minutes) % 1440) / 60, 4) AS slot_hours, -- since that day's scheduled run was due
    floor((epoch(point_at + to_minutes(minutes)) / 86400 + 3) / 7)::INTEGER AS week_no, -- ISO weeks since 1969-12-29
    (year(timezone('UTC', point_at + to_minutes(minutes))) * 12
     + month(timezone('UTC', point_at + to_minutes(minutes))) - 1)::INTEGER AS month_no -- months since year 0
FROM local
QUALIFY row_number() OVER (PARTITION BY item_no, resource_name, point_at ORDER BY usable DESC) = 1
