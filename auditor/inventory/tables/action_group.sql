-- Action groups, tenant-wide: who is told.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    coalesce(r.properties.enabled, false)          AS enabled,               -- false = tells nobody
    len(coalesce(r.properties.emailReceivers, [])) + len(coalesce(r.properties.smsReceivers, []))
        + len(coalesce(r.properties.webhookReceivers, [])) + len(coalesce(r.properties.voiceReceivers, []))
        + len(coalesce(r.properties.azureAppPushReceivers, [])) + len(coalesce(r.properties.itsmReceivers, []))
        + len(coalesce(r.properties.automationRunbookReceivers, [])) + len(coalesce(r.properties.logicAppReceivers, []))
        + len(coalesce(r.properties.azureFunctionReceivers, [])) + len(coalesce(r.properties.eventHubReceivers, []))
        + len(coalesce(r.properties.armRoleReceivers, [])) AS receiver_count -- of all kinds
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "enabled": "BOOLEAN", "emailReceivers": ["JSON"], "smsReceivers": ["JSON"], "webhookReceivers": ["JSON"],
            "voiceReceivers": ["JSON"], "azureAppPushReceivers": ["JSON"], "itsmReceivers": ["JSON"],
            "automationRunbookReceivers": ["JSON"], "logicAppReceivers": ["JSON"], "azureFunctionReceivers": ["JSON"],
            "eventHubReceivers": ["JSON"], "armRoleReceivers": ["JSON"]}
    }]}').data) AS r
    FROM page
)
