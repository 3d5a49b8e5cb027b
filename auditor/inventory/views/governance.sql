-- What watches over the backups: Azure Policy by subscription, and who is let off by exemption or waiver.

CREATE TABLE subscription AS
-- table: subscription: subscriptions in scope; one row each
SELECT
    s.resource_no                        AS resource_no,          -- key within this bundle
    s.resource_id                        AS resource_id,          -- /subscriptions/<id>, lower-cased
    s.resource_name                      AS resource_name,        -- display name; not unique
    s.subscription_id                    AS subscription_id,      -- lower-cased GUID
    NULL::VARCHAR                        AS class,                -- a subscription has none
    NULL::VARCHAR                        AS tier,                 -- a subscription has none
    NULL::VARCHAR                        AS owner,                -- a subscription has none
    coalesce(m.vm_count, 0)              AS vm_count              -- judged VMs in it
FROM raw.subscription s
JOIN audited a ON a.subscription_id = s.subscription_id
LEFT JOIN (SELECT subscription_id, count(*) AS vm_count FROM vm WHERE excluded_code IS NULL GROUP BY 1) m
    ON m.subscription_id = s.subscription_id;

CREATE TABLE policy_exemption AS
-- table: policy_exemption: exemptions of Azure Policy and our own waivers; one row each
SELECT
    e.resource_no                        AS resource_no,          -- key within this bundle
    e.resource_id                        AS resource_id,          -- lower-cased id; auditor:waiver/<id> of a waiver
    e.resource_name                      AS resource_name,        -- name as created; id of a waiver
    coalesce(e.subscription_id, '')      AS subscription_id,      -- lower-cased GUID; empty for management groups and waivers
    'policy_exemption'                   AS kind,                 -- policy_exemption, waiver
    NULL::VARCHAR                        AS class,                -- an exemption has none
    NULL::VARCHAR                        AS tier,                 -- an exemption has none
    NULL::VARCHAR                        AS owner                 -- of a waiver its approver
FROM raw.policy_exemption e
UNION ALL
SELECT w.resource_no, 'auditor:waiver/' || lower(w.waiver_id), w.waiver_id, '', 'waiver', NULL, NULL, w.approver
FROM declared_waiver w;
