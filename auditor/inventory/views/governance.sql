-- What watches over the backups: Azure Policy by subscription and VM, and who is let off by exemption or waiver.

-- Definitions that demand a backup, in each assignment that carries one, with the effect and the bounds that they have there.
CREATE TABLE backup_assignment AS
WITH direct AS (
         SELECT a.*, a.definition_id AS carried_id, NULL::VARCHAR AS reference_id, a.parameters::JSON AS bound,
                NULL::JSON AS given, NULL::JSON AS defaults, false AS unread
         FROM raw.policy_assignment a WHERE NOT a.of_initiative
     ),
     member AS (SELECT i.resource_id, i.parameters::JSON AS defaults, unnest(i.members) AS m FROM raw.initiative i),
     indirect AS (
         SELECT a.*, i.m.definition_id, i.m.reference_id, i.m.parameters::JSON, a.parameters::JSON, i.defaults, false
         FROM raw.policy_assignment a JOIN member i ON i.resource_id = a.definition_id
         UNION ALL
         -- What an initiative carries that could not be read, nobody knows.
         SELECT a.*, NULL, NULL, NULL, NULL, NULL, true
         FROM raw.policy_assignment a WHERE a.of_initiative AND a.definition_id NOT IN (SELECT resource_id FROM raw.initiative)
     ),
     every AS (
         SELECT *, split_part(carried_id, '/', -1) AS definition,
                from_json(overrides, '[{"kind": "VARCHAR", "value": "VARCHAR", "selectors": [{"kind": "VARCHAR", "in": ["VARCHAR"], "notIn": ["VARCHAR"]}]}]') AS changes,
                coalesce(from_json(resource_selectors, '[{"selectors": [{"kind": "VARCHAR", "in": ["VARCHAR"], "notIn": ["VARCHAR"]}]}]'), []) AS selectors
         FROM (SELECT * FROM direct UNION ALL SELECT * FROM indirect)
     ),
     asked AS (
         SELECT e.*, list_contains(s.required_definitions, definition) AS required,
                coalesce(lower(list_filter(coalesce(changes, []), lambda c: lower(c.kind) = 'policyeffect' AND
                             len(list_filter(coalesce(c.selectors, []), lambda k: NOT selects(k, lower(coalesce(e.reference_id, ''))))) = 0)[1].value),
                         lower(chosen(bound, given, defaults, 'effect') ->> '$')) AS effect_
         FROM (
             -- An effect that is changed in some places only is not followed there.
             SELECT * REPLACE (unread OR len(list_filter(coalesce(changes, []), lambda c: len(list_filter(coalesce(c.selectors, []), lambda k:
                 lower(k.kind) <> 'policydefinitionreferenceid')) > 0)) > 0 AS unread) FROM every
         ) e CROSS JOIN setting s
         WHERE carried_id IS NULL OR list_contains(s.required_definitions, definition) OR list_contains(s.accepted_definitions, definition)
     )
SELECT a.resource_id AS assignment_id, a.resource_name AS assignment_name, a.assigned_to, a.excluded_scopes, a.selectors,
       a.definition, a.reference_id, a.required, a.unread,
       CASE WHEN a.unread THEN 'initiative_unread'
            WHEN a.effect_ = 'disabled' THEN 'disabled'
            WHEN lower(a.enforcement_mode) <> 'default' THEN 'not_enforced'
            -- These deploy, which takes an identity: without one the backup is demanded of nobody.
            WHEN coalesce(a.effect_, CASE WHEN NOT a.required THEN 'deployifnotexists' END) = 'deployifnotexists'
                 AND lower(coalesce(a.identity_type, 'none')) = 'none' THEN 'no_identity' END AS void_code,
       lower(chosen(bound, given, defaults, 'vaultLocation') ->> '$') AS location,
       lower(nullif(chosen(bound, given, defaults, 'inclusionTagName') ->> '$', '')) AS wanted_tag,
       texts(chosen(bound, given, defaults, 'inclusionTagValue')) AS wanted_values,
       lower(nullif(chosen(bound, given, defaults, 'exclusionTagName') ->> '$', '')) AS spared_tag,
       texts(chosen(bound, given, defaults, 'exclusionTagValue')) AS spared_values
FROM asked a;

-- The places that each judged VM lies in below the management groups, by the ids that policies name them by.
CREATE VIEW vm_place AS
SELECT resource_no AS vm_no, '/subscriptions/' || subscription_id AS place FROM vm WHERE excluded_code IS NULL
UNION ALL
SELECT resource_no, '/subscriptions/' || subscription_id || '/resourcegroups/' || lower(resource_group) FROM vm WHERE excluded_code IS NULL
UNION ALL SELECT resource_no, resource_id FROM vm WHERE excluded_code IS NULL;

-- Which judged VMs an effective assignment demands a backup of; and why it does not of the others.
CREATE TABLE demanded AS
WITH reach AS (
         SELECT *, assigned_to AS place FROM backup_assignment
         UNION ALL SELECT b.*, '/subscriptions/' || g.subscription_id
         FROM backup_assignment b JOIN group_member g ON g.group_id = b.assigned_to
     ),
     above AS (SELECT subscription_id, list(group_id) AS groups FROM group_member GROUP BY 1),
     met AS (
         SELECT p.vm_no, r.assignment_name, r.definition, r.required,
                CASE WHEN len(r.excluded_scopes) > 0 AND list_has_any(r.excluded_scopes, list_concat(coalesce(a.groups, []),
                              [v.resource_id, '/subscriptions/' || v.subscription_id,
                               '/subscriptions/' || v.subscription_id || '/resourcegroups/' || lower(v.resource_group)]))
                     THEN 'left_out'
                     WHEN r.void_code IS NOT NULL THEN r.void_code
                     WHEN lower(v.location) <> r.location THEN 'other_location'
                     WHEN len(r.selectors) > 0 AND len(list_filter(r.selectors, lambda s: len(list_filter(coalesce(s.selectors, []), lambda k:
                              CASE lower(k.kind) WHEN 'resourcelocation' THEN NOT selects(k, lower(v.location))
                                                 WHEN 'resourcetype' THEN NOT selects(k, 'microsoft.compute/virtualmachines')
                                                 ELSE true END)) = 0)) = 0 THEN 'other_location'
                     -- Azure Policy sees the VM's own tags, not those of its group.
                     WHEN r.wanted_tag IS NOT NULL AND len(r.wanted_values) > 0 AND NOT list_has_any(r.wanted_values,
                          list_transform(list_filter(folded(v.tags), lambda t: t.key = r.wanted_tag), lambda t: lower(t.value)))
                     THEN 'other_tag'
                     WHEN r.spared_tag IS NOT NULL AND list_has_any(r.spared_values,
                          list_transform(list_filter(folded(v.tags), lambda t: t.key = r.spared_tag), lambda t: lower(t.value)))
                     THEN 'other_tag' END AS missed
         FROM vm_place p
         JOIN reach r ON r.place = p.place
         JOIN live_vm v ON v.resource_no = p.vm_no
         LEFT JOIN above a ON a.subscription_id = v.subscription_id
     )
SELECT vm_no,
       count(DISTINCT CASE WHEN missed IS NULL AND required THEN definition END) AS required_count,
       bool_or(missed IS NULL AND NOT required) AS accepted,
       bool_or(coalesce(missed = 'initiative_unread', false)) AS unread,
       list_distinct(list(assignment_name) FILTER (missed IS NULL)) AS assignments,
       -- One that is nearly right says more than one that is far off.
       coalesce(min(CASE missed WHEN 'not_enforced' THEN 1 WHEN 'disabled' THEN 2 WHEN 'no_identity' THEN 3 WHEN 'left_out' THEN 4
                                WHEN 'other_tag' THEN 5 WHEN 'other_location' THEN 6 END), 7) AS nearest
FROM met GROUP BY vm_no;

CREATE TABLE subscription AS
-- table: subscription: subscriptions in scope; one row each
WITH told AS (
         SELECT v.subscription_id, coalesce(d.accepted OR (d.required_count > 0 AND d.required_count = len(s.required_definitions)), false) AS covered,
                ['not_enforced', 'disabled', 'no_identity', 'left_out', 'other_tag', 'other_location', 'unassigned'][coalesce(d.nearest, 7)] AS missed,
                coalesce(d.unread, false) AS unread, d.assignments
         FROM vm v CROSS JOIN setting s LEFT JOIN demanded d ON d.vm_no = v.resource_no WHERE v.excluded_code IS NULL
     ),
     counted AS (
         SELECT subscription_id, count(*) AS vm_count, count(*) FILTER (covered) AS covered_count, bool_or(unread AND NOT covered) AS unread,
                count(DISTINCT CASE WHEN NOT covered THEN missed END) AS miss_count, min(CASE WHEN NOT covered THEN missed END) AS missed,
                list_sort(list_distinct(flatten(list(assignments) FILTER (covered)))) AS assignments
         FROM told GROUP BY 1
     ),
     unread AS (
         SELECT subscription_id FROM covered WHERE table_name = 'policy_assignment' AND NOT whole
         UNION ALL SELECT '' FROM never_asked WHERE table_name IN ('policy_assignment', 'initiative')
     )
SELECT
    s.resource_no                        AS resource_no,          -- key within this bundle
    s.resource_id                        AS resource_id,          -- /subscriptions/<id>, lower-cased
    s.resource_name                      AS resource_name,        -- display name; not unique
    s.subscription_id                    AS subscription_id,      -- lower-cased GUID
    NULL::VARCHAR                        AS class,                -- a subscription has none
    NULL::VARCHAR                        AS tier,                 -- a subscription has none
    NULL::VARCHAR                        AS owner,                -- a subscription has none
    coalesce(m.vm_count, 0)              AS vm_count,             -- judged VMs in it
    len(g.required_definitions) + len(g.accepted_definitions) > 0 AS policy_demanded, -- the standard names definitions that must be assigned
    coalesce(m.covered_count, 0)         AS policy_vm_count,      -- judged VMs that an effective assignment demands a backup of
    array_to_string(m.assignments, ', ') AS policy_assignments,   -- names of the assignments that do
    CASE WHEN m.miss_count = 1 THEN m.missed WHEN m.miss_count > 1 THEN 'mixed' END AS policy_missed, -- why none does of the others: unassigned, disabled, not_enforced, no_identity, left_out, other_tag, other_location, mixed; null = none is left
    -- What is assigned to management groups that nobody may see is not seen either.
    len(coalesce(s.management_group_names, [])) > 0 AND NOT coalesce(m.unread, false)
        AND NOT EXISTS (SELECT 1 FROM unread u WHERE u.subscription_id IN ('', s.subscription_id)) AS policy_assignment_complete -- all assignments that reach into it were read, with what they carry
FROM raw.subscription s
JOIN audited a ON a.subscription_id = s.subscription_id
CROSS JOIN setting g
LEFT JOIN counted m ON m.subscription_id = s.subscription_id;

CREATE TABLE policy_exemption AS
-- table: policy_exemption: exemptions of Azure Policy and our own waivers; one row each
WITH about AS (
         SELECT e.resource_no, bool_or(b.definition IS NOT NULL) AS backup, bool_or(b.definition IS NULL) AS unread,
                min(b.assignment_name) AS assignment_name
         FROM raw.policy_exemption e
         JOIN backup_assignment b ON b.assignment_id = e.assignment_id
             AND (b.reference_id IS NULL OR len(e.reference_ids) = 0
                  OR list_contains(list_transform(e.reference_ids, lambda r: lower(r)), lower(b.reference_id)))
         GROUP BY 1
     ),
     reach AS (
         SELECT resource_no, exempted_id AS place FROM raw.policy_exemption
         UNION ALL SELECT e.resource_no, '/subscriptions/' || g.subscription_id
         FROM raw.policy_exemption e JOIN group_member g ON g.group_id = e.exempted_id
     ),
     exempt AS (
         SELECT r.resource_no, count(*) AS vm_count,
                count(*) FILTER (x.state IN ('unprotected', 'stopped', 'paused', 'suspended', 'soft_deleted')) AS unprotected,
                count(*) FILTER (x.state = 'unknown') AS unknown,
                arg_min(v.tier, {'shift': -t.severity_shift, 'rpo': coalesce(t.rpo_hours, 1e9), 'name': v.tier}) AS tier
         FROM reach r
         JOIN vm_place p ON p.place = r.place
         JOIN vm v ON v.resource_no = p.vm_no
         JOIN tier t ON t.tier = v.tier
         JOIN protection x ON x.vm_no = v.resource_no
         GROUP BY 1
     )
SELECT
    e.resource_no                        AS resource_no,          -- key within this bundle
    e.resource_id                        AS resource_id,          -- lower-cased id; auditor:waiver/<id> of a waiver
    e.resource_name                      AS resource_name,        -- name as created; id of a waiver
    coalesce(e.subscription_id, '')      AS subscription_id,      -- lower-cased GUID; empty for management groups and waivers
    'policy_exemption'                   AS kind,                 -- policy_exemption, waiver
    NULL::VARCHAR                        AS class,                -- an exemption has none
    x.tier                               AS tier,                 -- strictest tier of the judged VMs it lets off
    NULL::VARCHAR                        AS owner,                -- of a waiver its approver
    CASE WHEN b.backup THEN true WHEN b.unread THEN NULL
         WHEN e.assignment_id IN (SELECT resource_id FROM raw.policy_assignment) THEN false
         WHEN NOT list_contains(n.lacking_tables, 'policy_assignment') THEN false END AS about_backup, -- it lifts the demand of a backup; null = its assignment could not be read
    b.assignment_name                    AS assignment_name,      -- of the assignment it lifts, where that demands a backup
    e.exempted_id                        AS exempted_id,          -- lower-cased id of what is let off; null for a waiver
    e.category                           AS category,             -- Waiver, Mitigated; null for a waiver of ours
    trim(coalesce(e.description, '')) <> '' AS described,         -- somebody says why
    -hours_since(e.expires_at) / 24      AS expires_in_days,      -- until it ends; negative once it has, null = never
    s.waiver_max_days                    AS max_days,             -- it may end this far ahead
    coalesce(x.vm_count, 0)              AS vm_count,             -- judged VMs that it lets off; null for a waiver
    coalesce(x.unprotected, 0)           AS unprotected_vm_count, -- of these without an active backup item
    coalesce(x.unknown, 0)               AS unknown_vm_count      -- of these whose protection could not be determined
FROM raw.policy_exemption e
CROSS JOIN setting s
JOIN tenant n ON n.tenant_id = ''
LEFT JOIN about b ON b.resource_no = e.resource_no
LEFT JOIN exempt x ON x.resource_no = e.resource_no
UNION ALL
SELECT w.resource_no, 'auditor:waiver/' || lower(w.waiver_id), w.waiver_id, '', 'waiver', NULL, NULL, w.approver,
       true, NULL, NULL, NULL, true, -hours_since(w.expires_on) / 24, s.waiver_max_days, NULL, NULL, NULL
FROM declared_waiver w CROSS JOIN setting s;

CREATE TABLE policy_opinion AS
-- table: policy_opinion: what Azure Policy's own built-in definition thinks of the backup of each VM; one row a VM
WITH state AS (
         SELECT v.resource_no AS vm_no, lower(p.compliance_state) AS word, hours_since(p.evaluated_at) AS age,
                split_part(p.assignment_id, '/', -1) || ': ' || p.compliance_state AS told,
                CASE lower(p.compliance_state) WHEN 'compliant' THEN 1 WHEN 'noncompliant' THEN 1 WHEN 'exempt' THEN 2 ELSE 3 END AS rank
         FROM raw.policy_state p JOIN vm v ON v.resource_id = p.vm_id
     ),
     -- The definition is one and the same: of several evaluations the newest that decided holds.
     newest AS (SELECT * FROM state QUALIFY row_number() OVER (PARTITION BY vm_no ORDER BY rank, age NULLS LAST, word) = 1),
     listed AS (SELECT vm_no, string_agg(told, ', ' ORDER BY told) AS states FROM state GROUP BY 1),
     unread AS (
         SELECT subscription_id FROM covered WHERE table_name = 'policy_state' AND NOT whole
         UNION ALL SELECT '' FROM never_asked WHERE table_name = 'policy_state'
     )
SELECT
    v.resource_no                        AS vm_no,                -- key of the VM
    n.word                               AS azure_state,          -- compliant, noncompliant, exempt, conflict, ...; null = none
    n.age                                AS azure_state_age_hours, -- since Azure Policy last looked; null where it does not say
    l.states                             AS azure_states,         -- of all assignments that carry the definition
    s.max_policy_state_hours             AS max_policy_state_hours, -- an older state is no opinion on today
    NOT EXISTS (SELECT 1 FROM unread u WHERE u.subscription_id IN ('', v.subscription_id)) AS policy_state_complete -- all states of its subscription were read
FROM vm v
CROSS JOIN setting s
LEFT JOIN newest n ON n.vm_no = v.resource_no
LEFT JOIN listed l ON l.vm_no = v.resource_no;
