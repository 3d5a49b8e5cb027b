-- Azure Policy assignments that reach into the scope, those of management groups above it included.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased id
    r.name                                         AS resource_name,         -- name as created
    split_part(lower(nullif(regexp_extract(r.id, '(?i)^/subscriptions/[^/]+'), '')), '/', 3) AS subscription_id, -- null where it belongs to a management group
    r.properties.displayName                       AS title,                 -- display name
    lower(coalesce(r.properties.scope, regexp_replace(r.id, '(?i)/providers/microsoft.authorization/policyassignments/.*$', ''))) AS assigned_to, -- lower-cased id of the management group, subscription or resource group
    lower(r.properties.policyDefinitionId)         AS definition_id,         -- lower-cased id of the definition or initiative
    contains(lower(r.properties.policyDefinitionId), '/policysetdefinitions/') AS of_initiative, -- true: it assigns an initiative
    coalesce(r.properties.enforcementMode, 'Default') AS enforcement_mode,   -- Default, DoNotEnforce
    list_transform(coalesce(r.properties.notScopes, []), lambda s: lower(s)) AS excluded_scopes, -- lower-cased ids below it that it leaves out
    json_extract_string(r.properties.parameters, '$.effect.value') AS effect, -- where the assignment chooses one
    r.properties.parameters::VARCHAR               AS parameters,            -- JSON, as Azure holds them
    r.properties.overrides::VARCHAR                AS overrides,             -- JSON: effects that it changes without the parameters
    r.properties.resourceSelectors::VARCHAR        AS resource_selectors,    -- JSON: the locations and types that it is for
    r.identity.type                                AS identity_type          -- of the identity that remediates; null = none
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "identity": {"type": "VARCHAR"},
        "properties": {"displayName": "VARCHAR", "scope": "VARCHAR", "policyDefinitionId": "VARCHAR",
                       "enforcementMode": "VARCHAR", "notScopes": ["VARCHAR"], "parameters": "JSON",
                       "overrides": "JSON", "resourceSelectors": "JSON"}
    }]}').data) AS r
    FROM page
)
