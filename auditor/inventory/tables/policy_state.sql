-- Azure Policy's own opinion on the VMs in scope: the built-in definition that demands a backup, as last evaluated.
SELECT
    lower(r.resourceId)                            AS vm_id,                 -- lower-cased ARM id
    lower(r.policyAssignmentId)                    AS assignment_id,         -- lower-cased id of the assignment it comes from
    lower(r.policyDefinitionName)                  AS definition_name,       -- GUID of the definition
    lower(nullif(r.policySetDefinitionId, ''))     AS initiative_id,         -- null where the definition is assigned by itself
    split_part(lower(r.resourceId), '/', 3)        AS subscription_id,       -- lower-cased GUID
    r.complianceState                              AS compliance_state,      -- Compliant, NonCompliant, Exempt, Conflict, Unknown, ...
    try_cast(r."timestamp" AS TIMESTAMPTZ)         AS evaluated_at           -- when Azure Policy last looked
FROM (
    SELECT unnest(list_concat(coalesce(p.value, []), list_transform(coalesce(p.data, []), lambda d: d.properties))) AS r
    FROM (
        SELECT from_json(body, '{
            "value": [{"resourceId": "VARCHAR", "policyAssignmentId": "VARCHAR", "policyDefinitionName": "VARCHAR",
                       "policySetDefinitionId": "VARCHAR", "complianceState": "VARCHAR", "timestamp": "VARCHAR"}],
            "data": [{"properties": {
                       "resourceId": "VARCHAR", "policyAssignmentId": "VARCHAR", "policyDefinitionName": "VARCHAR",
                       "policySetDefinitionId": "VARCHAR", "complianceState": "VARCHAR", "timestamp": "VARCHAR"}}]
        }') AS p FROM page)
);
SELECT * FROM staged
QUALIFY row_number() OVER (PARTITION BY vm_id, assignment_id, definition_name, initiative_id ORDER BY evaluated_at DESC NULLS LAST) = 1
