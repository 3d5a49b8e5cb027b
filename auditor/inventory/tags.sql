-- Every different set of tags that a resource which has a class carries, with those it inherits. An estate has few of them and
-- many resources: what is to be known of tags is worked out once a set, and found again by its number (see classified). But
-- there may be as many sets as resources, so that no more than need be is put down of each.
CREATE TABLE tag_set AS
WITH different AS (
    SELECT DISTINCT r.tags, r.inherited_tags FROM resource r WHERE r.resource_type IN ('vm', 'disk', 'snapshot', 'vault')
),
spread AS (
    SELECT tag_text(d.tags, d.inherited_tags) AS tag_text, merged(folded(d.tags), folded(d.inherited_tags)) AS tag_entries,
           list_contains(list_transform(folded(d.tags), lambda t: t.key), 'rsvaultbackup') AS of_site_recovery
    FROM different d
)
SELECT row_number() OVER ()::INTEGER AS set_no, p.tag_text, p.tag_entries, p.of_site_recovery,
       list_transform(list_filter(p.tag_entries, lambda t: list_contains(s.class_keys, t.key)
           AND NOT list_contains(s.class_pairs, t.key || chr(31) || lower(t.value))), lambda t: t.key || '=' || t.value)[1] AS strange_tag,
       list_filter(list_transform(s.owner_tags, lambda wanted:
           list_filter(p.tag_entries, lambda t: t.key = wanted AND t.value <> '')[1].value),
           lambda owner: owner IS NOT NULL)[1] AS owner
FROM spread p CROSS JOIN setting s;
