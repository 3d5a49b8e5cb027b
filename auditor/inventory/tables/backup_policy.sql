-- Backup policies of all Recovery Services vaults, tenant-wide. Only those of Azure VM backup carry a schedule here.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the vault
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    r.properties.backupManagementType              AS backup_management_type, -- AzureIaasVM, AzureWorkload, ...
    CASE WHEN r.properties.policyType = 'V2' OR r.properties.schedulePolicy.schedulePolicyType = 'SimpleSchedulePolicyV2'
         THEN 'V2' ELSE 'V1' END                   AS policy_type,           -- V2 = Enhanced
    lower(r.properties.schedulePolicy.scheduleRunFrequency) AS schedule,     -- hourly, daily, weekly
    r.properties.schedulePolicy.hourlySchedule.interval AS hourly_interval,  -- hours between runs of an hourly schedule
    r.properties.schedulePolicy.hourlySchedule.scheduleWindowDuration AS hourly_window, -- hours of the day in which it runs
    -- From each day to the next, and from the last one over the end of the week to the first.
    list_max(list_transform(run_days, lambda day, n: coalesce(run_days[n + 1], run_days[1] + 7) - day)) AS run_gap_days, -- most days between two runs of a weekly schedule; null where it names no day
    greatest(coalesce(r.properties.schedulePolicy.scheduleWeeklyFrequency, 1), 1) AS weekly_frequency, -- 2 = every other week
    try_cast(regexp_extract(run_at, 'T(\d\d):', 1) AS INTEGER) * 60
        + try_cast(regexp_extract(run_at, 'T\d\d:(\d\d)', 1) AS INTEGER) AS run_minutes, -- first run of the day, minutes after midnight of the zone
    r.properties.timeZone                          AS time_zone,             -- Windows zone id; null = UTC
    r.properties.retentionPolicy.dailySchedule.retentionDuration.count AS daily_count,         -- null = no daily retention
    r.properties.retentionPolicy.dailySchedule.retentionDuration.durationType AS daily_unit,   -- Days, Weeks, Months, Years
    r.properties.retentionPolicy.weeklySchedule.retentionDuration.count AS weekly_count,       -- null = no weekly retention
    r.properties.retentionPolicy.weeklySchedule.retentionDuration.durationType AS weekly_unit, -- Days, Weeks, Months, Years
    r.properties.retentionPolicy.monthlySchedule.retentionDuration.count AS monthly_count,     -- null = no monthly retention
    r.properties.retentionPolicy.monthlySchedule.retentionDuration.durationType AS monthly_unit, -- Days, Weeks, Months, Years
    r.properties.retentionPolicy.yearlySchedule.retentionDuration.count AS yearly_count,       -- null = no yearly retention
    r.properties.retentionPolicy.yearlySchedule.retentionDuration.durationType AS yearly_unit, -- Days, Weeks, Months, Years
    r.properties.retentionPolicy.retentionPolicyType AS retention_policy_type, -- LongTermRetentionPolicy; null = not sent
    r.properties.instantRpRetentionRangeInDays     AS instant_restore_days,  -- operational tier
    r.properties.protectedItemsCount               AS protected_items_count, -- items that use it, as Azure counts them
    r.properties.tieringPolicy.ArchivedRP.tieringMode AS archive_mode,       -- TierRecommended, TierAfter, DoNotTier
    r.properties.tieringPolicy.ArchivedRP.duration AS archive_after,         -- of TierAfter
    r.properties.tieringPolicy.ArchivedRP.durationType AS archive_unit,      -- Days, Weeks, Months, Years
    r.properties.snapshotConsistencyType           AS snapshot_consistency   -- OnlyCrashConsistent; empty = as consistent as can be
FROM (
    -- Of a run time only the time of day counts, in the policy's zone, whatever zone it is written with.
    SELECT r,
           list_sort(list_distinct(list_filter(list_transform(
               coalesce(r.properties.schedulePolicy.scheduleRunDays, r.properties.schedulePolicy.weeklySchedule.scheduleRunDays),
               lambda day: list_position(['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'], lower(day))),
               lambda n: n > 0))) AS run_days,
           coalesce(r.properties.schedulePolicy.scheduleRunTimes[1],
                       r.properties.schedulePolicy.dailySchedule.scheduleRunTimes[1],
                       r.properties.schedulePolicy.hourlySchedule.scheduleWindowStartTime) AS run_at
    FROM (SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "backupManagementType": "VARCHAR", "policyType": "VARCHAR", "timeZone": "VARCHAR",
            "schedulePolicy": {"schedulePolicyType": "VARCHAR", "scheduleRunFrequency": "VARCHAR",
                               "scheduleRunTimes": ["VARCHAR"], "dailySchedule": {"scheduleRunTimes": ["VARCHAR"]},
                               "scheduleRunDays": ["VARCHAR"], "weeklySchedule": {"scheduleRunDays": ["VARCHAR"]},
                               "scheduleWeeklyFrequency": "INTEGER",
                               "hourlySchedule": {"interval": "INTEGER", "scheduleWindowStartTime": "VARCHAR",
                                                  "scheduleWindowDuration": "INTEGER"}},
            "retentionPolicy": {
                "retentionPolicyType": "VARCHAR",
                "dailySchedule": {"retentionDuration": {"count": "INTEGER", "durationType": "VARCHAR"}},
                "weeklySchedule": {"retentionDuration": {"count": "INTEGER", "durationType": "VARCHAR"}},
                "monthlySchedule": {"retentionDuration": {"count": "INTEGER", "durationType": "VARCHAR"}},
                "yearlySchedule": {"retentionDuration": {"count": "INTEGER", "durationType": "VARCHAR"}}},
            "instantRpRetentionRangeInDays": "INTEGER", "protectedItemsCount": "INTEGER",
            "tieringPolicy": {"ArchivedRP": {"tieringMode": "VARCHAR", "duration": "INTEGER", "durationType": "VARCHAR"}},
            "snapshotConsistencyType": "VARCHAR"}
    }]}').data) AS r
    FROM page)
);
SELECT s.*,
    z.offset_minutes AS standard_offset_minutes, -- what the zone's standard time is ahead of UTC; null for a zone that is not known
FROM staged s LEFT JOIN zone z ON z.name = coalesce(nullif(s.time_zone, ''), 'UTC')
QUALIFY row_number() OVER (PARTITION BY s.resource_id ORDER BY s.resource_id) = 1
