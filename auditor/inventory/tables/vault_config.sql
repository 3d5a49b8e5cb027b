-- Security settings of each vault as the vault itself states them: the other source where Resource Graph sent none.
SELECT
    regexp_replace(lower(r.id), '/backupconfig/.*$', '') AS vault_id,        -- lower-cased ARM id
    r.properties.softDeleteFeatureState            AS soft_delete_state,     -- Enabled, Disabled, AlwaysON
    r.properties.softDeleteRetentionPeriodInDays   AS soft_delete_days,      -- 14..180
    r.properties.enhancedSecurityState             AS enhanced_security_state, -- Enabled, Disabled, AlwaysON
    r.properties.isSoftDeleteFeatureStateEditable  AS soft_delete_editable   -- false = it can't be switched off
FROM (
    SELECT from_json(body, '{
        "id": "VARCHAR",
        "properties": {"softDeleteFeatureState": "VARCHAR", "softDeleteRetentionPeriodInDays": "INTEGER",
                       "enhancedSecurityState": "VARCHAR", "isSoftDeleteFeatureStateEditable": "BOOLEAN"}
    }') AS r
    FROM page
);
SELECT * FROM staged QUALIFY row_number() OVER (PARTITION BY vault_id ORDER BY vault_id) = 1
