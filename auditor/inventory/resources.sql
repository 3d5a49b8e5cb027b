-- First half of the views: the resources with their tags, names and places, all that a class, a waiver or an owner tag
-- can speak of. Input: raw.* (the Parquet tables), setting (one row), tier, covered, gap, known, declared_class,
-- declared_waiver.

CREATE MACRO folded(tags) AS
    list_transform(coalesce(map_entries(tags), []), lambda t: {'key': lower(trim(t.key)), 'value': trim(coalesce(t.value, ''))});
CREATE MACRO merged(own, inherited) AS
    list_concat(own, list_filter(inherited, lambda i: NOT list_contains(list_transform(own, lambda o: o.key), i.key)));
CREATE MACRO tag_text(own, inherited) AS to_json(own)::VARCHAR || to_json(inherited)::VARCHAR;  -- the same for the same tags
CREATE MACRO pairs(entries) AS list_transform(entries, lambda t: t.key || chr(31) || lower(t.value));
CREATE MACRO hours_since(moment) AS
    round((epoch((SELECT as_of FROM setting)) - epoch(moment)) / 3600, 4);
CREATE MACRO month_of(day_no) AS  -- of a day since 1970-01-01: year * 12 + month - 1
    year(DATE '1970-01-01' + day_no::INTEGER) * 12 + month(DATE '1970-01-01' + day_no::INTEGER) - 1;

-- The places that a resource lies in below the management groups: itself, its group, its subscription; and all of Azure.
CREATE MACRO upward(id) AS [id, array_to_string(split(id, '/')[1:5], '/'), array_to_string(split(id, '/')[1:3], '/'), '/'];

-- A vault's redundancy as Azure spells it now: older answers differ in case. One that is not known stays as it is.
CREATE MACRO redundancy_word(sent) AS coalesce(
    list_filter(['LocallyRedundant', 'ZoneRedundant', 'GeoRedundant', 'ReadAccessGeoZoneRedundant'], lambda r: lower(r) = lower(sent))[1],
    nullif(nullif(sent, 'Invalid'), ''));

-- A parameter of a definition: of an initiative's member it may be taken from the initiative, `[parameters('name')]`, which
-- the assignment sets or leaves at its default.
CREATE MACRO chosen(bound, given, defaults, name) AS
    CASE WHEN regexp_matches(coalesce(json_extract_string(bound, '$.' || name || '.value'), ''), '^\[parameters\(')
         THEN coalesce(json_extract(given, '$."' || regexp_extract(json_extract_string(bound, '$.' || name || '.value'), '''([\w .-]+)''', 1) || '".value'),
                       json_extract(defaults, '$."' || regexp_extract(json_extract_string(bound, '$.' || name || '.value'), '''([\w .-]+)''', 1) || '".defaultValue'))
         ELSE json_extract(bound, '$.' || name || '.value') END;
CREATE MACRO texts(value) AS list_transform(coalesce(from_json(value, '["VARCHAR"]'), []), lambda t: lower(t));
CREATE MACRO selects(selector, value) AS
    (selector."in" IS NULL OR list_contains(list_transform(selector."in", lambda t: lower(t)), value))
    AND (selector."notIn" IS NULL OR NOT list_contains(list_transform(selector."notIn", lambda t: lower(t)), value));

-- What is deleted while it is read: Resource Graph still showed it, Resource Manager's whole list no longer had it. The two
-- are read at the same time, so that what was made in the last hour may be younger than the list.
CREATE VIEW live_vm AS SELECT v.* FROM raw.vm v ANTI JOIN confirmed c
    ON c.table_name = 'vm' AND c.subscription_id = v.subscription_id AND NOT v.in_list AND coalesce(hours_since(v.created_at) >= 1, true);
CREATE VIEW live_disk AS SELECT d.* FROM raw.disk d ANTI JOIN confirmed c
    ON c.table_name = 'disk' AND c.subscription_id = d.subscription_id AND NOT d.in_list AND coalesce(hours_since(d.created_at) >= 1, true);
CREATE VIEW live_snapshot AS SELECT s.* FROM raw.snapshot s ANTI JOIN confirmed c
    ON c.table_name = 'snapshot' AND c.subscription_id = s.subscription_id AND NOT s.in_list AND coalesce(hours_since(s.created_at) >= 1, true);
CREATE VIEW live_vault AS SELECT v.* FROM raw.vault v ANTI JOIN confirmed c
    ON c.table_name = 'vault' AND c.subscription_id = v.subscription_id AND NOT v.in_list;

CREATE TABLE known_subscription AS
SELECT subscription_id, resource_name AS subscription_name, state, coalesce(tenant_id, '') AS tenant_id,
       list_distinct(list_transform(list_concat(coalesce(management_group_names, []), coalesce(management_group_titles, [])),
                                    lambda g: lower(g))) AS management_groups
FROM raw.subscription;

-- Where a table was read whole, so that absence is evidence.
CREATE TABLE read_wholly AS
SELECT table_name, subscription_id, bool_and(whole) AS whole FROM covered GROUP BY table_name, subscription_id;

-- Subscriptions whose resources are judged; of the others only what protects a resource of these is.
CREATE TABLE audited AS SELECT DISTINCT subscription_id FROM covered WHERE table_name = 'vm';

-- A VM is protected from within its tenant: what could not be read of another one takes nothing away. Where the tenant of
-- the gap is not known, it may be any.
CREATE TABLE tenant AS
WITH every AS (SELECT DISTINCT tenant_id FROM known_subscription UNION SELECT ''),
     lacking AS (
         SELECT c.table_name, coalesce(k.tenant_id, '') AS tenant_id
         FROM covered c LEFT JOIN known_subscription k USING (subscription_id) WHERE NOT c.whole
         UNION ALL
         SELECT g.table_name, coalesce(k.tenant_id, '')
         FROM gap g LEFT JOIN known_subscription k ON k.subscription_id = split_part(g.resource_id, '/', 3)
         UNION ALL SELECT table_name, '' FROM never_asked
     )
SELECT e.tenant_id, list_distinct(coalesce(list(l.table_name) FILTER (l.table_name IS NOT NULL), [])) AS lacking_tables
FROM every e LEFT JOIN lacking l ON l.tenant_id IN ('', e.tenant_id) OR e.tenant_id = ''
GROUP BY e.tenant_id;

-- Everything a class, a waiver or an owner tag can speak of. A view, so that nobody pays for tags who does not ask for them.
CREATE VIEW resource AS
WITH every AS (
    SELECT resource_no, 'vm' AS resource_type, resource_id, resource_name, resource_group, subscription_id, location, tags FROM live_vm
    UNION ALL SELECT resource_no, 'disk', resource_id, resource_name, resource_group, subscription_id, location, tags FROM live_disk
    UNION ALL SELECT resource_no, 'snapshot', resource_id, resource_name, resource_group, subscription_id, location, tags FROM live_snapshot
    UNION ALL SELECT resource_no, 'vault', resource_id, resource_name, resource_group, subscription_id, location, tags FROM live_vault
    UNION ALL SELECT resource_no, 'vault', resource_id, resource_name, resource_group, subscription_id, location, tags FROM raw.backup_vault
    UNION ALL SELECT resource_no, 'backup_policy', resource_id, resource_name, split_part(resource_id, '/', 5), subscription_id, NULL, NULL FROM raw.backup_policy
    UNION ALL SELECT resource_no, 'protected_item', resource_id, coalesce(friendly_name, resource_name), split_part(resource_id, '/', 5), subscription_id, NULL, NULL FROM raw.protected_item
    UNION ALL SELECT resource_no, 'subscription', resource_id, resource_name, '', subscription_id, NULL, NULL FROM raw.subscription
    UNION ALL SELECT resource_no, 'policy_exemption', resource_id, resource_name, '', coalesce(subscription_id, ''), NULL, NULL FROM raw.policy_exemption
    UNION ALL SELECT resource_no, 'waiver', 'auditor:waiver/' || lower(waiver_id), waiver_id, '', '', NULL, NULL FROM declared_waiver
    UNION ALL SELECT resource_no, 'class', 'auditor:class/' || lower(name), name, '', '', NULL, NULL FROM declared_class
),
tagged AS (
    SELECT e.* EXCLUDE (tags), coalesce(e.tags, MAP {}) AS tags,
           CASE WHEN s.inherit_resource_group_tags THEN coalesce(g.tags, MAP {}) ELSE MAP {} END AS inherited_tags
    FROM every e
    CROSS JOIN setting s
    LEFT JOIN raw.resource_group g
        ON g.resource_id = '/subscriptions/' || e.subscription_id || '/resourcegroups/' || lower(e.resource_group)
),
merged AS (
    SELECT t.*, merged(folded(t.tags), folded(t.inherited_tags)) AS tag_entries FROM tagged t
)
SELECT m.* EXCLUDE (tag_entries), m.tag_entries,
       pairs(m.tag_entries) AS tag_pairs,
       coalesce(k.subscription_name, '') AS subscription_name,
       coalesce(k.management_groups, []) AS management_groups
FROM merged m LEFT JOIN known_subscription k USING (subscription_id);
