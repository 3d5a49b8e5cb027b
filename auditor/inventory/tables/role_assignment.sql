-- Role assignments that reach the vaults, as far as the identity may read them.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased id
    r.name                                         AS resource_name,         -- GUID
    split_part(lower(nullif(regexp_extract(r.id, '(?i)^/subscriptions/[^/]+'), '')), '/', 3) AS subscription_id, -- null where it belongs to a management group
    lower(r.properties.scope)                      AS assigned_to,           -- lower-cased id that it holds for, and below
    lower(split_part(r.properties.roleDefinitionId, '/', -1)) AS role_id,    -- GUID of the role
    lower(r.properties.principalId)                AS principal_id,          -- object id
    r.properties.principalType                     AS principal_type         -- User, Group, ServicePrincipal
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {"scope": "VARCHAR", "roleDefinitionId": "VARCHAR", "principalId": "VARCHAR", "principalType": "VARCHAR"}
    }]}').data) AS r
    FROM page
)
