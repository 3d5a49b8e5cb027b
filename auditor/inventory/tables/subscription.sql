-- Subscriptions that the identity can see, tenant-wide.
SELECT
    lower(r.id)                                    AS resource_id,           -- /subscriptions/<id>, lower-cased
    r.name                                         AS resource_name,         -- display name; not unique
    lower(r.subscriptionId)                        AS subscription_id,       -- lower-cased GUID
    r.properties.state                             AS state,                 -- Enabled, Warned, PastDue, Disabled, Deleted
    lower(r.tenantId)                              AS tenant_id,             -- differs from the home tenant where delegated by Lighthouse
    list_transform(r.properties.managementGroupAncestorsChain, lambda g: g.name)
                                                   AS management_group_names, -- ids of the ancestors, nearest first
    list_transform(r.properties.managementGroupAncestorsChain, lambda g: coalesce(g.displayName, g.name))
                                                   AS management_group_titles, -- their display names
    r.tags                                         AS tags                   -- as Azure holds them
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "subscriptionId": "VARCHAR", "tenantId": "VARCHAR",
        "tags": "MAP(VARCHAR, VARCHAR)",
        "properties": {"state": "VARCHAR",
                       "managementGroupAncestorsChain": [{"name": "VARCHAR", "displayName": "VARCHAR"}]}
    }]}').data) AS r
    FROM page
)
