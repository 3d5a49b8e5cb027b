-- Machines replicated by Azure Site Recovery, tenant-wide. Replication is no backup: what is deleted is deleted there too.
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- GUID or name
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- of the vault
    regexp_extract(lower(r.id), '^(.+/vaults/[^/]+)/', 1) AS vault_id,       -- lower-cased ARM id
    r.properties.friendlyName                      AS friendly_name,         -- name of the machine; not unique
    lower(nullif(r.properties.providerSpecificDetails.fabricObjectId, '')) AS vm_id, -- Azure VM that is replicated; null for other machines
    r.properties.protectionState                   AS protection_state,      -- Protected, ...
    r.properties.replicationHealth                 AS replication_health,    -- Normal, Warning, Critical
    r.properties.providerSpecificDetails.rpoInSeconds AS rpo_seconds,        -- null where Azure does not say
    r.properties.testFailoverState                 AS test_failover_state,   -- None, ...
    nullif(try_cast(r.properties.lastSuccessfulTestFailoverTime AS TIMESTAMPTZ), TIMESTAMPTZ '1753-01-01 01:01:01+00') AS tested_at -- last good test failover; null = never
FROM (
    SELECT unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR",
        "properties": {
            "friendlyName": "VARCHAR", "protectionState": "VARCHAR", "replicationHealth": "VARCHAR",
            "testFailoverState": "VARCHAR", "lastSuccessfulTestFailoverTime": "VARCHAR",
            "providerSpecificDetails": {"fabricObjectId": "VARCHAR", "rpoInSeconds": "BIGINT"}}
    }]}').data) AS r
    FROM page
)
