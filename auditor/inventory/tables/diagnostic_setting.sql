-- Where vaults send their logs.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    lower(nullif(r.properties.workspaceId, ''))    AS workspace_id,          -- Log Analytics workspace; null = none
    lower(nullif(r.properties.storageAccountId, '')) AS storage_account_id,  -- null = none
    lower(nullif(r.properties.eventHubAuthorizationRuleId, '')) AS event_hub_rule_id, -- null = none
    r.properties.logAnalyticsDestinationType       AS destination_type,      -- Dedicated = resource-specific tables
    list_transform(list_filter(coalesce(r.properties.logs, []), lambda l: l.enabled),
                   lambda l: coalesce(l.category, l.categoryGroup)) AS categories -- enabled ones, groups (allLogs, audit) included
FROM (
    SELECT unnest(from_json(body, '{"value": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "workspaceId": "VARCHAR", "storageAccountId": "VARCHAR", "eventHubAuthorizationRuleId": "VARCHAR",
            "logAnalyticsDestinationType": "VARCHAR",
            "logs": [{"category": "VARCHAR", "categoryGroup": "VARCHAR", "enabled": "BOOLEAN"}]}
    }]}').value) AS r
    FROM page
)
