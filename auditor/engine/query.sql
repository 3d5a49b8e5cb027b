-- What `auditor query` reads beside the tables of rules and the inventory. Input: what views/ has, and
-- found (all findings/*.parquet), ruled (the rules), waived (the waivers), told (coverage.json), named (names as created).

CREATE VIEW finding AS
-- table: finding: verdicts as sealed, passes included; one row a rule and resource
SELECT
    f.rule                               AS rule,                 -- id of the rule
    r.title                              AS title,                -- its title
    r.area                               AS area,                 -- protection, retention, ...
    f.status                             AS status,               -- pass, fail, waived, not_yet_due, not_applicable, unknown
    f.severity                           AS severity,             -- critical, high, medium, low, info
    f.reason                             AS reason,               -- reason code; its sentence is on the page of rules
    f.evidence::JSON                     AS evidence,             -- what the verdict rests on, by column of the rule: evidence->>'column'; null for a pass
    r.resource_type                      AS resource_type,        -- vm, snapshot, ...
    f.resource_no                        AS resource_no,          -- key within this bundle: join the tables of resources by it
    f.resource_id                        AS resource_id,          -- lower-cased ARM id
    n.resource_name                      AS resource_name,        -- name as created
    split_part(f.resource_id, '/', 5)    AS resource_group,       -- lower-cased name of the resource group
    split_part(f.resource_id, '/', 3)    AS subscription_id,      -- lower-cased GUID
    coalesce(s.resource_name, '')        AS subscription_name,    -- name of the subscription
    f.waiver_id                          AS waiver_id,            -- waiver that covers the fail, or did before it expired; null = none
    w.reason                             AS waiver_reason,        -- why it was granted
    w.approver                           AS waiver_approver,      -- by whom
    w.expires_on::DATE                   AS waiver_expires_on,    -- first day on which it no longer counts
    w.ticket                             AS waiver_ticket,        -- where it was discussed
    CASE WHEN f.status NOT IN ('pass', 'not_applicable') THEN coalesce(k.first_seen, (SELECT as_of FROM setting))
    END                                  AS first_seen,           -- since when it has not passed, by our own runs
    sha256(f.rule || chr(10) || f.resource_id) AS fingerprint     -- the same from run to run
FROM found f
LEFT JOIN ruled r ON r.rule = f.rule
LEFT JOIN named n ON n.resource_no = f.resource_no
LEFT JOIN raw.subscription s ON s.subscription_id = split_part(f.resource_id, '/', 3)
LEFT JOIN waived w ON w.waiver_id = f.waiver_id
LEFT JOIN known k ON k.kind = 'finding' AND k.key = f.rule || '/' || f.resource_id;

CREATE VIEW coverage AS
-- table: coverage: how far each table was read; one row a table, source and subscription
SELECT
    c."table"                            AS table_name,           -- table of the inventory
    c.source                             AS source,               -- first; second = what is held against the first, and not needed
    c.subscription_id                    AS subscription_id,      -- lower-cased GUID; empty = the tenant
    s.resource_name                      AS subscription_name,    -- name of the subscription; null where it is not visible
    c.state                              AS state,                -- complete, reused; partial, denied, failed
    c.expected                           AS expected,             -- rows there should be, or resources asked about; null where Azure gives no count
    c.received                           AS received,             -- rows read
    c.reason                             AS reason                -- why it is not complete
FROM (
    SELECT 'first' AS source, unnest(told.coverage, recursive := true) FROM told
    UNION ALL SELECT 'second', unnest(told.second, recursive := true) FROM told
) c
LEFT JOIN raw.subscription s ON s.subscription_id = c.subscription_id AND c.subscription_id <> '';

CREATE VIEW gap AS
-- table: gap: resources about which an answer is missing although their subscription could be read; one row each
SELECT
    g."table"                            AS table_name,           -- table of the inventory that lacks rows
    g.resource_id                        AS resource_id,          -- lower-cased ARM id of what was asked about: a vault, a protected item, ...
    g.state                              AS state,                -- partial, denied, failed
    g.reason                             AS reason                -- what Azure answered
FROM (SELECT unnest(told.gaps, recursive := true) FROM told) g;

CREATE VIEW history AS
-- table: history: since when a thing is known by our own runs; one row each
SELECT
    k.kind                               AS kind,                 -- vm, protected_item, vault, promise, finding, retention, guard, deallocated, backup_days
    k.key                                AS key,                  -- lower-cased ARM id; of a finding: rule/id
    k.first_seen                         AS first_seen,           -- moment of the run that saw it first
    k.last_seen                          AS last_seen,            -- of what may change and come back: moment of the run that saw it last
    k.value                              AS value                 -- what was seen
FROM known k;
