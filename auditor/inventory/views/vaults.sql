-- Recovery Services vaults and Backup vaults: what they are, what they hold, and the strictest demands of the VMs that they
-- protect.

-- Both kinds in the words of the first; what Azure does not send of a Backup vault is null.
CREATE TABLE known_vault AS
SELECT 'recovery_services' AS kind, v.* FROM live_vault v
UNION ALL BY NAME
SELECT 'backup_vault' AS kind, b.* EXCLUDE (soft_delete_days, guarded),
       floor(b.soft_delete_days)::INTEGER AS soft_delete_days,
       CASE WHEN b.guarded THEN 'Enabled' WHEN NOT b.guarded THEN 'Disabled' END AS multi_user_authorization
FROM raw.backup_vault b;

CREATE TABLE vault_item AS
-- Items of each vault with the VM behind each; judged: a VM of the population. A shared disk is one item of several VMs.
SELECT w.resource_no AS vault_no, i.resource_no AS item_no, v.resource_no AS vm_no, v.tier, v.excluded_code IS NULL AND v.resource_no IS NOT NULL AS judged,
       lower(coalesce(i.backup_management_type, 'azureiaasvm')) NOT IN ('azureiaasvm', 'azurestorage') AS workload,
       split_part(i.vm_id, '/', 3) AS vm_subscription_id
FROM raw.protected_item i
JOIN live_vault w ON w.resource_id = i.vault_id
LEFT JOIN vm v ON v.resource_id = i.vm_id
UNION ALL
SELECT b.resource_no, i.resource_no, v.resource_no, v.tier, v.excluded_code IS NULL AND v.resource_no IS NOT NULL,
       lower(coalesce(i.datasource_type, 'microsoft.compute/disks')) <> 'microsoft.compute/disks',
       split_part(i.source_id, '/', 3)
FROM raw.backup_instance i
JOIN raw.backup_vault b ON b.resource_id = i.vault_id
LEFT JOIN vm_disk d ON d.disk_id = i.source_id
LEFT JOIN vm v ON v.resource_no = d.vm_no;

-- Where classes can't be told: VMs that were not read, groups whose tags were not.
CREATE TABLE classless AS
SELECT DISTINCT subscription_id FROM covered WHERE table_name IN ('vm', 'resource_group') AND NOT whole;

-- Each Recovery Services vault that lies in an audited subscription or protects a VM of one, and each Backup vault that
-- holds backups of a judged VM's disks, with what it holds.
CREATE TABLE concerned_vault AS
WITH holding AS (
    SELECT i.vault_no, count(DISTINCT i.item_no) AS item_count, count(DISTINCT i.item_no) FILTER (i.workload) AS workload_count,
           count(DISTINCT i.vm_no) FILTER (i.judged) AS vm_count, bool_or(u.subscription_id IS NOT NULL) AS classless
    FROM vault_item i LEFT JOIN classless u ON u.subscription_id = i.vm_subscription_id
    GROUP BY i.vault_no
),
replicating AS (SELECT vault_id, count(*) AS replica_count FROM raw.replicated_item GROUP BY vault_id),
-- A vault whose own list was refused leaves its subscription partly read; the others of it were read all the same.
unread AS (SELECT DISTINCT resource_id, split_part(resource_id, '/', 3) AS subscription_id FROM gap WHERE table_name = 'vault'),
read AS (
    SELECT c.subscription_id, bool_and(c.whole OR u.subscription_id IS NOT NULL) FILTER (c.table_name = 'protected_item') AS items,
           bool_and(c.whole) FILTER (c.table_name = 'backup_instance') AS instances,
           bool_and(c.whole) FILTER (c.table_name = 'replicated_item') AS replicas
    FROM covered c LEFT JOIN (SELECT DISTINCT subscription_id FROM unread) u ON u.subscription_id = c.subscription_id
    WHERE c.table_name IN ('protected_item', 'backup_instance', 'replicated_item') GROUP BY c.subscription_id
)
SELECT w.kind, w.resource_no, w.resource_id, w.resource_group, w.subscription_id, c.tier AS own_tier,
       coalesce(h.item_count, 0) AS item_count, coalesce(h.workload_count, 0) AS workload_count,
       coalesce(h.vm_count, 0) AS vm_count, coalesce(p.replica_count, 0) AS replica_count,
       CASE w.kind WHEN 'backup_vault' THEN coalesce(r.instances, false) ELSE coalesce(r.items, false) AND u.resource_id IS NULL END AS items_complete,
       coalesce(r.replicas, false) AS replicas_complete,
       items_complete AND NOT coalesce(h.classless, false)
           AND (coalesce(h.vm_count, 0) > 0 OR l.subscription_id IS NULL) AS demand_complete
FROM known_vault w
JOIN classified c ON c.resource_no = w.resource_no
LEFT JOIN holding h ON h.vault_no = w.resource_no
LEFT JOIN replicating p ON p.vault_id = w.resource_id
LEFT JOIN unread u ON u.resource_id = w.resource_id
LEFT JOIN read r ON r.subscription_id = w.subscription_id
LEFT JOIN classless l ON l.subscription_id = w.subscription_id
WHERE h.vm_count > 0 OR w.kind = 'recovery_services' AND w.subscription_id IN (SELECT subscription_id FROM audited);

-- The tiers that a vault must satisfy: those of its VMs, else its own.
CREATE TABLE vault_tier AS
SELECT DISTINCT k.resource_no, i.tier FROM concerned_vault k JOIN vault_item i ON i.vault_no = k.resource_no WHERE i.judged
UNION ALL SELECT k.resource_no, k.own_tier FROM concerned_vault k WHERE k.vm_count = 0;

-- The strictest demands, each taken by itself.
CREATE TABLE vault_demand AS
SELECT d.resource_no,
       arg_min(d.tier, {'shift': -t.severity_shift, 'rpo': coalesce(t.rpo_hours, 1e9), 'name': d.tier}) AS tier,
       bool_and(list_contains(t.redundancy_accept, 'LocallyRedundant')) AS accepts_local,
       bool_and(list_contains(t.redundancy_accept, 'ZoneRedundant')) AS accepts_zone,
       bool_and(list_contains(t.redundancy_accept, 'GeoRedundant')) AS accepts_geo,
       bool_or(coalesce(t.cross_region_restore, false)) AS cross_region_restore,
       max(t.soft_delete_keep_days) AS soft_delete_keep_days, bool_or(t.soft_delete_always_on) AS soft_delete_always_on,
       ['Disabled', 'Unlocked', 'Locked'][max(list_position(['Disabled', 'Unlocked', 'Locked'], t.immutability))] AS immutability,
       max(t.immutability_keep_days) FILTER (t.immutability <> 'Disabled') AS immutability_keep_days,
       bool_or(t.mua_required) AS mua_required, bool_or(t.mua_required AND t.mua_guard_elsewhere) AS mua_guard_elsewhere,
       bool_or(coalesce(t.private_endpoint, false)) AS private_endpoint,
       bool_or(t.cmk_required) AS cmk_required, bool_or(t.cmk_double) AS cmk_double,
       bool_or(t.alert_job_failures) AS alert_job_failures, bool_or(t.alert_routed) AS alert_routed,
       bool_or(t.alert_diagnostics) AS alert_diagnostics, max(t.log_keep_days) AS log_keep_days
FROM vault_tier d JOIN tier t ON t.tier = d.tier GROUP BY d.resource_no;

-- Which questions about a vault were answered, if only with "none". Of a Backup vault none is asked.
CREATE TABLE vault_answer AS
SELECT k.resource_no, bool_or(c.table_name = 'vault_config') AS config, bool_or(c.table_name = 'vault_storage_config') AS storage_config,
       bool_or(c.table_name = 'resource_guard_proxy') AS guards, bool_or(c.table_name = 'diagnostic_setting') AS logs
FROM concerned_vault k
JOIN covered c ON c.subscription_id = k.subscription_id
LEFT JOIN gap g ON g.table_name = c.table_name AND g.resource_id = k.resource_id
WHERE g.resource_id IS NULL AND k.kind = 'recovery_services'
GROUP BY k.resource_no;

CREATE TABLE group_member AS
SELECT subscription_id, '/providers/microsoft.management/managementgroups/' || lower(unnest(management_group_names)) AS group_id
FROM raw.subscription;

-- A vault and all that is above it, which rules and roles may be set on; and the same of its guards.
CREATE TABLE vault_scope AS
SELECT resource_no AS vault_no, resource_id, unnest(upward(resource_id)) AS scope FROM concerned_vault
UNION ALL
SELECT k.resource_no, k.resource_id, g.group_id FROM concerned_vault k JOIN group_member g ON g.subscription_id = k.subscription_id;

CREATE TABLE guard_scope AS
SELECT vault_id, unnest(upward(guard_id)) AS scope FROM raw.resource_guard_proxy WHERE guard_id IS NOT NULL
UNION ALL
SELECT p.vault_id, g.group_id FROM raw.resource_guard_proxy p JOIN group_member g ON g.subscription_id = split_part(p.guard_id, '/', 3);

-- Who hears of a backup that failed: alert processing rules on the vault or above it, as far as their conditions hold for
-- that alert (Sev1, signal type Log, monitor service Azure Backup). A condition that is not understood holds for nothing.
CREATE TABLE vault_routing AS
WITH put AS (
    SELECT k.resource_no, r.resource_id AS rule_id, r.resource_name, r.silences, r.scheduled, flatten(r.action_group_ids) AS groups,
           list_transform(r.conditions, lambda c: {
               'is': CASE lower(c.field)
                         WHEN 'monitorservice' THEN ['azure backup'] WHEN 'monitorcondition' THEN ['fired']
                         WHEN 'severity' THEN ['sev1'] WHEN 'signaltype' THEN ['log']
                         WHEN 'targetresourcetype' THEN
                             [CASE k.kind WHEN 'backup_vault' THEN 'microsoft.dataprotection/backupvaults' ELSE 'microsoft.recoveryservices/vaults' END]
                         WHEN 'targetresource' THEN [k.resource_id]
                         WHEN 'targetresourcegroup' THEN
                             [array_to_string(split(k.resource_id, '/')[1:5], '/'), split_part(k.resource_id, '/', 5)] END,
               'operator': lower(c.operator),
               'asked': list_transform(coalesce(c."values", []), lambda x: lower(trim(x)))}) AS conditions
    FROM concerned_vault k
    JOIN vault_scope s ON s.vault_no = k.resource_no
    JOIN (SELECT *, unnest(scopes) AS scope FROM raw.alert_rule WHERE enabled) r ON rtrim(r.scope, '/') = s.scope
),
held AS (
    SELECT DISTINCT p.resource_no, p.rule_id, p.resource_name, p.silences, p.scheduled, p.groups,
           list_transform(p.conditions, lambda c: CASE
               WHEN c."is" IS NULL OR len(c.asked) = 0 THEN NULL
               WHEN c.operator = 'equals' THEN list_has_any(c."is", c.asked)
               WHEN c.operator = 'notequals' THEN NOT list_has_any(c."is", c.asked)
               WHEN c.operator = 'contains' THEN len(list_filter(c.asked, lambda x: contains(array_to_string(c."is", chr(31)), x))) > 0
               WHEN c.operator = 'doesnotcontain' THEN len(list_filter(c.asked, lambda x: contains(array_to_string(c."is", chr(31)), x))) = 0
           END) AS holding
    FROM put p
),
matched AS (
    SELECT h.* EXCLUDE (holding),
           CASE WHEN list_contains(h.holding, false) THEN false
                WHEN len(h.holding) = len(list_filter(h.holding, lambda x: x)) THEN true END AS matches
    FROM held h
),
-- A group in a subscription that was not read may tell somebody.
told AS (
    SELECT m.resource_no, m.rule_id, bool_or(coalesce(g.enabled AND g.receiver_count > 0, false)) AS reaches,
           bool_or(g.resource_id IS NULL AND NOT coalesce(c.whole, false)) AS unread
    FROM (SELECT resource_no, rule_id, unnest(groups) AS group_id FROM matched WHERE matches) m
    LEFT JOIN raw.action_group g ON g.resource_id = m.group_id
    LEFT JOIN read_wholly c ON c.table_name = 'action_group' AND c.subscription_id = split_part(m.group_id, '/', 3)
    GROUP BY m.resource_no, m.rule_id
)
SELECT m.resource_no,
       count(*) FILTER (m.matches AND m.silences AND NOT m.scheduled) AS silencing,
       count(*) FILTER (m.matches IS NULL AND m.silences AND NOT m.scheduled) AS perhaps_silencing,
       count(*) FILTER (m.matches AND NOT m.scheduled AND t.reaches) AS reaching,
       count(*) FILTER (m.matches AND NOT m.scheduled AND t.unread) AS perhaps_reaching,
       count(*) FILTER (m.matches AND NOT m.scheduled AND t.rule_id IS NOT NULL) AS routing,
       string_agg(m.resource_name || CASE WHEN m.silences THEN ' (silences)' ELSE '' END
                  || CASE WHEN m.scheduled THEN ' (at times)' ELSE '' END
                  || CASE WHEN m.matches IS NULL THEN ' (not understood)' ELSE '' END, ', ' ORDER BY m.rule_id)
           FILTER (m.matches IS DISTINCT FROM false) AS rules
FROM matched m LEFT JOIN told t ON t.resource_no = m.resource_no AND t.rule_id = m.rule_id
GROUP BY m.resource_no;

-- Where the vault's own log goes; what a workspace gets may come from several settings.
CREATE TABLE vault_log AS
WITH sent AS (
    SELECT vault_id, workspace_id, list_transform(flatten(list(categories)), lambda c: lower(c)) AS categories
    FROM raw.diagnostic_setting
    WHERE workspace_id IS NOT NULL AND lower(coalesce(destination_type, 'Dedicated')) = 'dedicated'
    GROUP BY vault_id, workspace_id
),
lacking AS (
    SELECT s.vault_id, CASE WHEN list_contains(s.categories, 'alllogs') THEN [] ELSE list_filter(
        ['CoreAzureBackup', 'AddonAzureBackupJobs', 'AddonAzureBackupPolicy', 'AddonAzureBackupProtectedInstance'],
        lambda c: NOT list_contains(s.categories, lower(c))) END AS categories
    FROM sent s
),
best AS (SELECT vault_id, arg_min(categories, len(categories)) AS lacking FROM lacking GROUP BY vault_id)
SELECT d.vault_id, len(b.lacking) AS lacking_count, array_to_string(b.lacking, ', ') AS lacking
FROM (SELECT DISTINCT vault_id FROM raw.diagnostic_setting) d LEFT JOIN best b ON b.vault_id = d.vault_id;

-- Who may weaken a vault, and who of them may also allow it in its guard's name.
CREATE TABLE vault_power AS
WITH vaulter AS (
    SELECT DISTINCT s.vault_no, a.principal_id, a.role_id
    FROM vault_scope s JOIN raw.role_assignment a ON a.assigned_to = s.scope
    WHERE a.role_id IN ('8e3af657-a8ff-443c-a75c-2fe8c4bcb635', 'b24988ac-6180-42a0-ab88-20f7382dd24c', '5e467623-bb1f-42f4-a55d-6e525e11384b')
),
-- Owner, Contributor, Backup MUA Admin, Backup MUA Operator: each lets its holder approve.
guardian AS (
    SELECT DISTINCT k.resource_no AS vault_no, a.principal_id
    FROM guard_scope s JOIN raw.role_assignment a ON a.assigned_to = s.scope JOIN concerned_vault k ON k.resource_id = s.vault_id
    WHERE a.role_id IN ('8e3af657-a8ff-443c-a75c-2fe8c4bcb635', 'b24988ac-6180-42a0-ab88-20f7382dd24c', 'c2a970b4-16a7-4a51-8c84-8a8ea6ee0bb8', 'f54b6d04-23c6-443e-b462-9c16ab7b4a52')
)
SELECT v.vault_no, count(DISTINCT v.principal_id) AS principal_count,
       count(DISTINCT v.principal_id) FILTER (v.role_id = '8e3af657-a8ff-443c-a75c-2fe8c4bcb635') AS owner_count,
       count(DISTINCT v.principal_id) FILTER (v.role_id = 'b24988ac-6180-42a0-ab88-20f7382dd24c') AS contributor_count,
       count(DISTINCT v.principal_id) FILTER (v.role_id = '5e467623-bb1f-42f4-a55d-6e525e11384b') AS backup_contributor_count,
       count(DISTINCT g.principal_id) AS guardian_count,
       string_agg(DISTINCT g.principal_id, ', ' ORDER BY g.principal_id) AS guardians
FROM vaulter v LEFT JOIN guardian g ON g.vault_no = v.vault_no AND g.principal_id = v.principal_id
GROUP BY v.vault_no;

-- The Resource Guards that a vault is tied to.
CREATE TABLE vault_guard AS
SELECT p.vault_id, count(*) AS guard_count, string_agg(p.guard_id, ', ' ORDER BY p.guard_id) AS guards,
       bool_and(split_part(p.guard_id, '/', 3) = split_part(p.vault_id, '/', 3)) AS beside,
       bool_and(coalesce(c.whole, false)) AS roles_read,
       nullif(array_to_string(list_sort(list_distinct(flatten(list(coalesce(g.unguarded_operations, []))))), ', '), '') AS unguarded
FROM raw.resource_guard_proxy p
LEFT JOIN raw.resource_guard g ON g.resource_id = p.guard_id
LEFT JOIN read_wholly c ON c.table_name = 'role_assignment' AND c.subscription_id = split_part(p.guard_id, '/', 3)
GROUP BY p.vault_id;

CREATE TABLE vault AS
-- table: vault: Recovery Services vaults that lie in scope or protect a VM of it, and Backup vaults that hold backups of its disks, with the strictest demands of their VMs; one row each
WITH told AS (
    -- All that a Backup vault has to say stands in Resource Graph; of its guards, whether there is one.
    SELECT w.resource_no, w.kind = 'backup_vault' OR coalesce(a.config, false) AS config_answered, coalesce(a.storage_config, false) AS storage_answered,
           CASE w.kind WHEN 'backup_vault' THEN w.multi_user_authorization IS NOT NULL ELSE coalesce(a.guards, false) END AS guards_answered, coalesce(a.logs, false) AS logs_answered,
           redundancy_word(w.redundancy) AS said_redundancy, redundancy_word(s.redundancy) AS stored_redundancy,
           lower(w.cross_region_restore) = 'enabled' AS said_restore, s.cross_region_restore AS stored_restore,
           lower(w.soft_delete_state) AS said_state, lower(f.soft_delete_state) AS configured_state,
           w.soft_delete_days AS said_days, f.soft_delete_days AS configured_days,
           concat_ws(' / ', w.soft_delete_state, CASE WHEN lower(f.soft_delete_state) IS DISTINCT FROM lower(w.soft_delete_state) THEN f.soft_delete_state END) AS states,
           s.storage_state
    FROM known_vault w
    LEFT JOIN vault_answer a ON a.resource_no = w.resource_no
    LEFT JOIN raw.vault_storage_config s ON s.vault_id = w.resource_id
    LEFT JOIN raw.vault_config f ON f.vault_id = w.resource_id
),
stored AS (
    SELECT t.resource_no, t.config_answered, t.storage_answered, t.guards_answered, t.logs_answered, t.said_redundancy,
           t.stored_redundancy, t.said_restore, t.stored_restore, t.said_state, t.configured_state, t.said_days,
           t.configured_days, t.states, t.storage_state, t.said_state IN ('enabled', 'on', 'alwayson') AS said_on,
           t.configured_state IN ('enabled', 'alwayson') AS configured_on,
           -- Only the vault's own storage settings say that it is redundant in zones and regions both.
           coalesce(t.stored_redundancy, t.said_redundancy) AS one,
           coalesce(t.said_redundancy <> t.stored_redundancy AND NOT (
               t.said_redundancy = 'GeoRedundant' AND starts_with(t.stored_redundancy, 'ReadAccessGeo')), false) AS differs
    FROM told t
)
SELECT
    w.resource_no                        AS resource_no,          -- key within this bundle
    w.kind                               AS kind,                 -- recovery_services; backup_vault (of it only backups of disks are judged: snapshots, which never leave the operational tier)
    w.resource_id                        AS resource_id,          -- lower-cased ARM id
    w.resource_name                      AS resource_name,        -- name as created
    w.resource_group                     AS resource_group,       -- name of the resource group
    w.subscription_id                    AS subscription_id,      -- lower-cased GUID
    w.location                           AS location,             -- Azure region
    c.class                              AS class,                -- class of the standard; null where none matches
    coalesce(d.tier, k.own_tier)         AS tier,                 -- strictest tier of the VMs it protects, else its own
    c.owner                              AS owner,                -- from the owner tags, else the class
    k.vm_count                           AS vm_count,             -- judged VMs with an item in it (of a Backup vault: a disk), whatever the item's state
    k.item_count                         AS item_count,           -- items of all kinds and states, as far as they were read
    k.workload_count                     AS workload_count,       -- of these, databases in VMs, agents and backup servers: what talks to the vault over the network
    k.replica_count                      AS replica_count,        -- machines that Site Recovery replicates by it
    CASE WHEN k.item_count > 0 THEN 'backups' WHEN NOT k.items_complete THEN NULL
         WHEN k.replica_count > 0 THEN 'site_recovery' WHEN k.replicas_complete THEN 'nothing' ELSE 'no_backups' END AS holding, -- backups, site_recovery (and no backups), nothing, no_backups (whether Site Recovery uses it was not read); null = not known
    k.demand_complete                    AS demand_complete,      -- false: VMs that were not read may demand more
    nullif(concat_ws(', ', CASE WHEN d.accepts_local THEN 'LocallyRedundant' END, CASE WHEN d.accepts_zone THEN 'ZoneRedundant' END,
                     CASE WHEN d.accepts_geo THEN 'GeoRedundant' END), '') AS accepted_redundancy, -- what all its VMs accept; null = nothing, or nothing is demanded
    CASE WHEN d.resource_no IS NOT NULL THEN d.accepts_geo IS NOT NULL END AS redundancy_demanded, -- a tier says which redundancy it accepts
    CASE WHEN t.differs THEN t.said_redundancy || ' / ' || t.stored_redundancy ELSE t.one END AS redundancy, -- LocallyRedundant, ZoneRedundant, GeoRedundant, ReadAccessGeoZoneRedundant; both where its two sources differ
    t.differs                            AS redundancy_differs,   -- Resource Graph and the vault's storage settings differ
    CASE WHEN NOT t.differs THEN
        CASE WHEN t.one = 'LocallyRedundant' THEN d.accepts_local WHEN t.one = 'ZoneRedundant' THEN d.accepts_zone
             WHEN t.one = 'GeoRedundant' OR starts_with(t.one, 'ReadAccessGeo') THEN d.accepts_geo END END AS redundancy_accepted, -- by all its VMs; null = not demanded or not known
    CASE WHEN NOT t.differs THEN t.one = 'GeoRedundant' OR starts_with(t.one, 'ReadAccessGeo') END AS geo_redundant, -- a copy lies in another region; null = not known
    lower(t.storage_state) = 'locked'    AS redundancy_locked,    -- items are registered: it can't be changed any more
    d.cross_region_restore AS restore_demanded, -- a tier demands cross-region restore
    CASE WHEN t.said_restore = t.stored_restore OR t.stored_restore IS NULL OR t.said_restore IS NULL
         THEN coalesce(t.said_restore, t.stored_restore) END AS cross_region_restore, -- enabled; null = not sent, or its two sources differ
    coalesce(t.said_restore <> t.stored_restore, false) AS restore_differs, -- Resource Graph and the vault's storage settings differ
    t.storage_answered AS storage_config_complete, -- its storage settings were read
    coalesce(d.soft_delete_keep_days > 0, false) OR d.soft_delete_always_on AS soft_delete_demanded, -- a tier demands soft delete
    d.soft_delete_keep_days AS soft_delete_keep_days, -- longest soft delete that is demanded; null = none
    d.soft_delete_always_on AS always_on_demanded, -- a tier demands that soft delete can't be switched off
    nullif(t.states, '')                 AS soft_delete_state,    -- Enabled, Disabled, AlwaysON (of a Backup vault: On, Off, AlwaysOn); both where its two sources differ; null = not sent
    CASE WHEN coalesce(t.said_on = t.configured_on, true) THEN CASE coalesce(t.said_on, t.configured_on) WHEN true THEN 'on' WHEN false THEN 'off' END END AS soft_delete, -- on, off; null = not sent, or its two sources differ
    CASE WHEN coalesce(t.said_state = t.configured_state, true) THEN coalesce(t.said_state, t.configured_state) = 'alwayson' END AS soft_delete_always_on, -- it can't be switched off; null = not sent, or its two sources differ
    greatest(t.said_days, t.configured_days) AS soft_delete_days, -- deleted backups are kept so long, where its two sources differ at most; null = not sent
    CASE WHEN t.said_days <> t.configured_days THEN t.said_days || ' / ' || t.configured_days ELSE coalesce(t.said_days, t.configured_days)::VARCHAR END AS soft_delete_days_sent, -- the same; both where its two sources differ
    coalesce(t.said_state <> t.configured_state, false) OR coalesce(t.said_days <> t.configured_days, false) AS soft_delete_differs, -- Resource Graph and the vault's own settings differ
    t.config_answered AS config_complete, -- its security settings were read
    nullif(d.immutability, 'Disabled') AS immutability_demanded, -- Unlocked or Locked; null = not demanded
    d.immutability_keep_days AS immutability_keep_days, -- a time-based lock must last so long; null = not demanded
    w.immutability_state                 AS immutability_state,   -- Disabled, Unlocked, Locked; null = not sent
    lower(w.immutability_state) IN ('unlocked', 'locked') AS immutable, -- null = not sent
    lower(w.immutability_state) = 'locked' AS immutability_locked, -- for good; null = not sent
    coalesce(lower(w.immutability_type) = 'timebased', false) AS immutability_time_based, -- it lasts for days, not for as long as the policy keeps
    w.immutability_days                  AS immutability_days,    -- of a time-based lock
    d.mua_required AS mua_demanded, -- a tier demands multi-user authorization
    d.mua_guard_elsewhere AS guard_elsewhere_demanded, -- a tier demands that the guard lies in another subscription
    w.multi_user_authorization           AS multi_user_authorization, -- Enabled, Disabled (of a Backup vault: whether a Resource Guard protects it); null = not sent
    coalesce(lower(w.multi_user_authorization) = 'enabled', false) OR coalesce(g.guard_count, 0) > 0 AS guarded, -- so far as was read
    coalesce(g.guard_count, 0)           AS guard_count,          -- Resource Guards it is tied to
    g.guards                             AS guard_ids,            -- their lower-cased ids
    g.beside                             AS guard_in_own_subscription, -- all of them lie beside the vault; null = not known
    g.unguarded                          AS unguarded_operations, -- what its guards leave free, where they could be read
    t.guards_answered AS guard_complete, -- its ties to guards were read (of a Backup vault: whether there is one)
    d.private_endpoint AS private_demanded, -- a tier demands private endpoints
    w.public_network_access              AS public_network_access, -- Enabled, Disabled; null = not sent
    lower(w.public_network_access) <> 'disabled' AS public,       -- reachable from the Internet; null = not sent
    w.private_endpoint_count             AS private_endpoint_count, -- approved ones for backup; null = a Backup vault
    d.cmk_required AS cmk_demanded, -- a tier demands a customer-managed key
    d.cmk_double AS double_encryption_demanded, -- a tier demands encryption of the infrastructure too
    w.key_uri                            AS key_uri,              -- customer-managed key; null = the platform's
    w.infrastructure_encryption          AS infrastructure_encryption, -- Enabled, Disabled; null = not sent
    lower(w.infrastructure_encryption) = 'enabled' AS double_encrypted, -- null = not sent
    d.alert_job_failures AS alerts_demanded, -- a tier demands alerts of failed jobs
    d.alert_routed AS routing_demanded, -- a tier demands that alerts reach somebody
    d.alert_diagnostics AS diagnostics_demanded, -- a tier demands diagnostic logs
    d.log_keep_days                      AS log_keep_days,        -- logs must be kept so long; what the workspace keeps is not collected
    w.job_failure_alerts                 AS job_failure_alerts,   -- Enabled, Disabled; null = not sent
    lower(w.job_failure_alerts) = 'enabled' AS alerting,          -- failed jobs raise alerts; null = not sent
    coalesce(lower(w.classic_alerts) = 'enabled', false) AS classic_alerting, -- alerts of the old kind are on
    CASE WHEN r.silencing > 0 THEN 'silenced'
         WHEN list_has_any(n.lacking_tables, ['subscription', 'alert_rule']) OR r.perhaps_silencing > 0 THEN 'unknown'
         WHEN r.reaching > 0 THEN 'routed' WHEN r.perhaps_reaching > 0 THEN 'unknown'
         WHEN r.routing > 0 THEN 'no_receivers' ELSE 'unrouted' END AS routing, -- routed, silenced, no_receivers, unrouted; unknown = rules or groups that matter were not read or not understood
    r.rules                              AS alert_rules,          -- alert processing rules that concern it, with what limits each
    CASE WHEN l.lacking_count = 0 THEN 'complete' WHEN l.lacking_count > 0 THEN 'incomplete'
         WHEN NOT t.logs_answered THEN 'unknown'
         WHEN l.vault_id IS NOT NULL THEN 'elsewhere' ELSE 'none' END AS diagnostics, -- complete, incomplete (categories lack), elsewhere (to no workspace), none; unknown = not read
    l.lacking                            AS lacking_categories,   -- log categories that no workspace gets
    w.cross_subscription_restore         AS cross_subscription_restore, -- Enabled, Disabled, PermanentlyDisabled; null = not sent
    lower(w.cross_subscription_restore) = 'enabled' AS restore_open, -- backups can be restored into other subscriptions; null = not sent
    coalesce(p.principal_count, 0)       AS principal_count,      -- users, groups and applications that are Owner, Contributor or Backup Contributor at the vault or above it
    coalesce(p.owner_count, 0)           AS owner_count,          -- of these, Owners
    coalesce(p.contributor_count, 0)     AS contributor_count,    -- of these, Contributors
    coalesce(p.backup_contributor_count, 0) AS backup_contributor_count, -- of these, Backup Contributors
    coalesce(p.guardian_count, 0)        AS guardian_count,       -- of these, those who may also approve in its guard's name
    p.guardians                          AS guardians,            -- their object ids
    coalesce(o.whole, false)             AS role_assignment_complete, -- role assignments of its subscription were read
    CASE WHEN coalesce(g.guard_count, 0) > 0 THEN g.roles_read
         -- Which guard protects a Backup vault is not told.
         ELSE t.guards_answered AND (w.kind = 'recovery_services' OR w.multi_user_authorization = 'Disabled') END AS guardian_complete -- so were its guards and theirs
FROM concerned_vault k
JOIN known_vault w ON w.resource_no = k.resource_no
JOIN classified c ON c.resource_no = k.resource_no
-- What a vault without VMs must be is only known where it is known to have none.
LEFT JOIN vault_demand d ON d.resource_no = k.resource_no AND (k.vm_count > 0 OR k.demand_complete)
JOIN stored t ON t.resource_no = k.resource_no
LEFT JOIN vault_guard g ON g.vault_id = w.resource_id
LEFT JOIN vault_routing r ON r.resource_no = k.resource_no
LEFT JOIN vault_log l ON l.vault_id = w.resource_id
LEFT JOIN vault_power p ON p.vault_no = k.resource_no
LEFT JOIN read_wholly o ON o.table_name = 'role_assignment' AND o.subscription_id = w.subscription_id
LEFT JOIN known_subscription u ON u.subscription_id = w.subscription_id
JOIN tenant n ON n.tenant_id = coalesce(u.tenant_id, '');
