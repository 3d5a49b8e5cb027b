-- Azure Policy exemptions in scope, those of management groups above it included.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(nullif(regexp_extract(r.id, '(?i)^/subscriptions/[^/]+'), '')), '/', 3) AS subscription_id, -- null where it belongs to a management group
    regexp_replace(lower(r.id), '/providers/microsoft.authorization/policyexemptions/.*$', '') AS exempted_id, -- lower-cased id of what is exempt: a group, a subscription, a resource
    r.properties.displayName                       AS title,                 -- display name
    r.properties.description                       AS description,           -- null = none
    lower(r.properties.policyAssignmentId)         AS assignment_id,         -- lower-cased id of the assignment it lifts
    coalesce(r.properties.policyDefinitionReferenceIds, []) AS reference_ids, -- of an initiative, only these definitions; empty = all
    r.properties.exemptionCategory                 AS category,              -- Waiver, Mitigated
    try_cast(r.properties.expiresOn AS TIMESTAMPTZ) AS expires_at,           -- null = never
    r.properties.metadata::VARCHAR                 AS metadata               -- JSON, as Azure holds it
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {"displayName": "VARCHAR", "description": "VARCHAR", "policyAssignmentId": "VARCHAR",
                       "policyDefinitionReferenceIds": ["VARCHAR"], "exemptionCategory": "VARCHAR",
                       "expiresOn": "VARCHAR", "metadata": "JSON"}
    }]}').data) AS r
    FROM page
)
