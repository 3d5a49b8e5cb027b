-- Alert processing rules, tenant-wide: who hears of alerts, and what silences them.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    coalesce(r.properties.enabled, true)           AS enabled,               -- false = does nothing; Azure's default is true
    list_transform(coalesce(r.properties.scopes, []), lambda s: lower(s)) AS scopes, -- lower-cased ids that it holds for, and below
    coalesce(r.properties.conditions, [])          AS conditions,            -- field, operator, values: all must hold
    list_transform(list_filter(coalesce(r.properties.actions, []), lambda a: lower(a.actionType) = 'addactiongroups'),
                   lambda a: list_transform(coalesce(a.actionGroupIds, []), lambda g: lower(g))) AS action_group_ids, -- groups it tells
    len(list_filter(coalesce(r.properties.actions, []), lambda a: lower(a.actionType) = 'removeallactiongroups')) > 0 AS silences, -- true: it suppresses notifications
    r.properties.schedule IS NOT NULL              AS scheduled              -- true: not all the time
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "enabled": "BOOLEAN", "scopes": ["VARCHAR"],
            "conditions": [{"field": "VARCHAR", "operator": "VARCHAR", "values": ["VARCHAR"]}],
            "actions": [{"actionType": "VARCHAR", "actionGroupIds": ["VARCHAR"]}], "schedule": "JSON"}
    }]}').data) AS r
    FROM page
)
