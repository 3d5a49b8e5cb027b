-- Initiatives that are assigned in scope: which policy definitions they carry.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- GUID or name
    r.properties.displayName                       AS title,                 -- display name
    r.properties.policyType                        AS policy_type,           -- BuiltIn, Custom
    r.properties.metadata.version                  AS version,               -- null where it has none
    list_transform(coalesce(r.properties.policyDefinitions, []), lambda d: lower(d.policyDefinitionId)) AS definition_ids, -- lower-cased ids of its definitions
    list_transform(coalesce(r.properties.policyDefinitions, []), lambda d:
        {'definition_id': lower(d.policyDefinitionId), 'reference_id': d.policyDefinitionReferenceId,
         'effect': json_extract_string(d.parameters, '$.effect.value'), 'parameters': d.parameters::VARCHAR}) AS members, -- definitions with their reference id, effect and parameters; they may name a parameter of the initiative
    r.properties.parameters::VARCHAR               AS parameters             -- JSON: its own parameters with their defaults
FROM (
    SELECT from_json(body, '{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "displayName": "VARCHAR", "policyType": "VARCHAR", "metadata": {"version": "VARCHAR"}, "parameters": "JSON",
            "policyDefinitions": [{"policyDefinitionId": "VARCHAR", "policyDefinitionReferenceId": "VARCHAR", "parameters": "JSON"}]}
    }') AS r
    FROM page
)
