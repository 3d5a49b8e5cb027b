-- Storage settings of each vault as the vault itself states them: the other source where Resource Graph sent none.
SELECT
    regexp_replace(lower(r.id), '/backupstorageconfig/.*$', '') AS vault_id, -- lower-cased ARM id
    coalesce(r.properties.storageModelType, r.properties.storageType) AS redundancy, -- LocallyRedundant, ZoneRedundant, GeoRedundant, ReadAccessGeoZoneRedundant
    r.properties.storageTypeState                  AS storage_state,         -- Locked = items are registered, it can't be changed
    r.properties.crossRegionRestoreFlag            AS cross_region_restore   -- null where Azure does not say
FROM (
    SELECT from_json(body, '{
        "id": "VARCHAR",
        "properties": {"storageModelType": "VARCHAR", "storageType": "VARCHAR", "storageTypeState": "VARCHAR",
                       "crossRegionRestoreFlag": "BOOLEAN"}
    }') AS r
    FROM page
);
SELECT * FROM staged QUALIFY row_number() OVER (PARTITION BY vault_id ORDER BY vault_id) = 1
