-- First half of the views: the resources with their tags, names and places, all that a class, a waiver or an owner tag
-- can speak of. Input: raw.* (the Parquet tables), setting (one row), tier, covered, gap, known.

CREATE MACRO folded(tags) AS
    list_transform(coalesce(map_entries(tags), []), lambda t: {'key': lower(trim(t.key)), 'value': trim(coalesce(t.value, ''))});
CREATE MACRO hours_since(moment) AS
    round((epoch((SELECT as_of FROM setting)) - epoch(moment)) / 3600, 4);
CREATE MACRO promise(item_id, policy_id, schedule, amount, unit) AS
    concat_ws('|', item_id, policy_id, schedule, amount, unit);
CREATE MACRO whole_everywhere(names) AS
    (SELECT count(*) = 0 FROM covered WHERE list_contains(names, table_name) AND NOT whole)
    AND (SELECT count(*) = 0 FROM gap WHERE list_contains(names, table_name));
CREATE MACRO keep_days(amount, unit) AS
    amount * (CASE lower(unit) WHEN 'days' THEN 1 WHEN 'weeks' THEN 7 WHEN 'months' THEN 30.4375 WHEN 'years' THEN 365.25 END)::DOUBLE;

CREATE TABLE known_subscription AS
SELECT subscription_id, resource_name AS subscription_name, state,
       list_distinct(list_transform(list_concat(coalesce(management_group_names, []), coalesce(management_group_titles, [])),
                                    lambda g: lower(g))) AS management_groups
FROM raw.subscription;

-- Everything a class, a waiver or an owner tag can speak of. A view, so that nobody pays for tags who does not ask for them.
CREATE VIEW resource AS
WITH every AS (
    SELECT resource_no, 'vm' AS resource_type, resource_id, resource_name, resource_group, subscription_id, location, tags FROM raw.vm
    UNION ALL SELECT resource_no, 'disk', resource_id, resource_name, resource_group, subscription_id, location, tags FROM raw.disk
    UNION ALL SELECT resource_no, 'snapshot', resource_id, resource_name, resource_group, subscription_id, location, tags FROM raw.snapshot
    UNION ALL SELECT resource_no, 'vault', resource_id, resource_name, resource_group, subscription_id, location, tags FROM raw.vault
),
tagged AS (
    SELECT e.* EXCLUDE (tags), folded(e.tags) AS own, folded(g.tags) AS inherited
    FROM every e
    LEFT JOIN raw.resource_group g
        ON g.resource_id = '/subscriptions/' || e.subscription_id || '/resourcegroups/' || lower(e.resource_group)
),
merged AS (
    SELECT t.* EXCLUDE (own, inherited),
           CASE WHEN s.inherit_resource_group_tags
                THEN list_concat(own, list_filter(inherited, lambda i: NOT list_contains(list_transform(own, lambda o: o.key), i.key)))
                ELSE own END AS tag_entries
    FROM tagged t CROSS JOIN setting s
)
SELECT m.* EXCLUDE (tag_entries), m.tag_entries,
       list_transform(m.tag_entries, lambda t: t.key || chr(31) || lower(t.value)) AS tag_pairs,
       coalesce(k.subscription_name, '') AS subscription_name,
       coalesce(k.management_groups, []) AS management_groups
FROM merged m LEFT JOIN known_subscription k USING (subscription_id);
