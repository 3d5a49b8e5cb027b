-- Proof that recovery works: restore tests and runbooks of each class.

CREATE TABLE class AS
-- table: class: classes of the standard, and one for the VMs of no class; one row each
WITH member AS (
    SELECT coalesce(class, '(unclassified)') AS name, count(*) AS vm_count FROM vm WHERE excluded_code IS NULL GROUP BY 1
)
SELECT
    d.resource_no                        AS resource_no,          -- key within this bundle
    'auditor:class/' || lower(d.name)    AS resource_id,          -- auditor:class/<name>, lower-cased
    d.name                               AS resource_name,        -- its name in the standard
    ''                                   AS subscription_id,      -- a class has none
    d.name                               AS class,                -- the same
    d.tier                               AS tier,                 -- tier of its VMs
    d.owner                              AS owner,                -- as the standard names one
    coalesce(m.vm_count, 0)              AS vm_count,             -- judged VMs in it
    t.rto_hours                          AS rto_hours,            -- a recovery may take this long; null = not demanded
    t.test_cadence_days                  AS test_cadence_days,    -- a restore test counts for so long; null = none demanded
    least(coalesce(m.vm_count, 0), greatest(coalesce(ceil(t.test_sample_pct * m.vm_count / 100), 0), coalesce(t.test_sample_min, 0)))::INTEGER
                                         AS test_vm_demanded,     -- VMs that must have been tested within it
    coalesce(t.test_isolated, false)     AS test_isolated,        -- a restored machine must not reach the real ones
    -- Without cross-region restore there is nothing to be tested.
    CASE WHEN t.cross_region_restore THEN t.test_cross_region_days END AS test_cross_region_days, -- a restore into the other region counts for so long; null = none demanded
    t.runbook_max_age_days               AS runbook_max_age_days, -- a review of a runbook counts for so long; null = not demanded
    NOT list_has_any(n.lacking_tables, ['subscription', 'vm', 'resource_group']) AS vm_complete, -- all VMs in scope were read, with what decides their class
    NOT list_has_any(n.lacking_tables, ['subscription', 'vault', 'backup_job']) AS backup_job_complete -- all jobs of the vaults were read
FROM declared_class d
LEFT JOIN member m ON m.name = d.name
JOIN tier t ON t.tier = d.tier
JOIN tenant n ON n.tenant_id = '';

-- The judged VMs, as an evidence file may name them.
CREATE VIEW testable AS
SELECT v.resource_no, v.resource_id, lower(v.resource_name) AS name, lower(v.resource_group) AS resource_group,
       [v.subscription_id, lower(u.subscription_name)] AS places, c.resource_no AS class_no, c.class, v.resource_name
FROM vm v
JOIN class c ON c.class = coalesce(v.class, '(unclassified)')
LEFT JOIN known_subscription u ON u.subscription_id = v.subscription_id
WHERE v.excluded_code IS NULL;

CREATE TABLE restore_test AS
-- table: restore_test: restore tests that somebody declared; one row a test and judged VM
WITH named AS (
         SELECT t.test_no, v.resource_no AS vm_no FROM tested_vm t JOIN testable v ON v.resource_id = t.id
         UNION
         -- A name that two machines bear proves nothing of either.
         SELECT t.test_no, v.resource_no
         FROM tested_vm t JOIN testable v ON v.name = t.name AND v.resource_group = t.resource_group
         WHERE t.place IS NULL OR list_contains(v.places, t.place)
         QUALIFY count(*) OVER (PARTITION BY t.test_no, t.name, t.resource_group, t.place) = 1
     ),
     job AS (
         SELECT lower(resource_name) AS job_id, max(lower(status)) AS status FROM raw.backup_job GROUP BY 1
     )
SELECT
    v.class_no                           AS class_no,             -- key of the VM's class
    v.resource_no                        AS vm_no,                -- key of the VM
    t.test_id                            AS test_id,              -- id of the record
    t.type                               AS type,                 -- full_vm_or_disk, file, snapshot, cross_region
    hours_since(t.started_at) / 24       AS age_days,             -- since the recovery was asked for
    t.minutes / 60                       AS restore_hours,        -- until the service ran again; null where nobody says
    t.passed                             AS passed,               -- false: somebody says that it failed
    t.validated                          AS validated,            -- it passed, and somebody made sure that what was restored works
    t.isolated                           AS isolated,             -- it was restored where it could not reach the real machines
    j.status                             AS job_status,           -- of its job in the vault, lower-cased; null where there is none, or Azure forgot it
    t.performed_by                       AS performed_by,         -- who declares it
    t.reviewed_by                        AS reviewed_by,          -- who looked at it beside; null = nobody
    t.tested_on                          AS tested_on             -- day of the test, UTC
FROM named n
JOIN declared_test t ON t.test_no = n.test_no
JOIN testable v ON v.resource_no = n.vm_no AND v.class = coalesce(t.class, v.class)
LEFT JOIN job j ON j.job_id = split_part(t.job_id, '/', -1)
WHERE t.started_at <= (SELECT as_of FROM setting);

CREATE TABLE restore_job AS
-- table: restore_job: restores that the vaults did, tests or not; one row a job of a judged VM that came to an end
WITH item AS (
    SELECT DISTINCT vault_id, regexp_extract(resource_id, '/protectioncontainers/iaasvmcontainer;([^/]+)/', 1) AS container_name, vm_id
    FROM raw.protected_item
)
SELECT
    v.class_no                           AS class_no,             -- key of the VM's class
    v.resource_no                        AS vm_no,                -- key of the VM
    j.resource_name                      AS job_id,               -- GUID of the job
    lower(j.status) <> 'failed'          AS completed,            -- false: it failed; cancelled ones and those under way are left out
    hours_since(j.started_at) / 24       AS age_days,             -- since it began
    j.error_text                         AS error_text            -- of a failure, in Azure's words
FROM raw.backup_job j
JOIN item i ON i.vault_id = j.vault_id AND i.container_name = j.container_name
JOIN testable v ON v.resource_id = i.vm_id
WHERE lower(j.operation) IN ('restore', 'crossregionrestore') AND lower(j.status) IN ('completed', 'completedwithwarnings', 'failed');

CREATE TABLE last_restore AS
-- table: last_restore: what the newest restore test and the newest restore job of a judged VM came to; one row a VM that had one
WITH test AS (
         SELECT vm_no, class_no, test_id, passed AND coalesce(job_status, '') <> 'failed' AS passed, age_days, restore_hours,
                performed_by, tested_on
         FROM restore_test
         -- That it worked counts where somebody made sure of it; that it failed is said of itself.
         WHERE validated OR NOT passed OR job_status = 'failed'
         QUALIFY row_number() OVER (PARTITION BY vm_no ORDER BY age_days, passed, test_id) = 1
     ),
     job AS (SELECT * FROM restore_job QUALIFY row_number() OVER (PARTITION BY vm_no ORDER BY age_days, job_id) = 1)
SELECT
    v.class_no                           AS class_no,             -- key of the VM's class
    v.resource_no                        AS vm_no,                -- key of the VM
    v.resource_name                      AS vm_name,              -- its name
    t.test_id                            AS test_id,              -- id of its newest test; null = none was declared
    t.passed                             AS test_passed,          -- false: somebody, or its job in the vault, says that it failed
    t.age_days                           AS test_age_days,        -- since the test
    t.restore_hours                      AS restore_hours,        -- that the recovery took
    t.performed_by                       AS performed_by,         -- who declares the test
    t.tested_on                          AS tested_on,            -- day of the test, UTC
    j.job_id                             AS job_id,               -- its newest restore job; null = none is known
    NOT j.completed                      AS job_failed,           -- that job failed
    j.age_days                           AS job_age_days,         -- since that job began
    j.error_text                         AS error_text            -- why it failed, in Azure's words
FROM testable v
LEFT JOIN test t ON t.vm_no = v.resource_no
LEFT JOIN job j ON j.vm_no = v.resource_no
WHERE t.vm_no IS NOT NULL OR j.vm_no IS NOT NULL;

CREATE TABLE class_test_type AS
-- table: class_test_type: kinds of restore test that a class must have had within its cadence; one row each
SELECT
    c.resource_no                        AS class_no,             -- key of the class
    unnest(t.test_types)                 AS type                  -- full_vm_or_disk, file, snapshot, cross_region
FROM class c JOIN tier t ON t.tier = c.tier WHERE t.test_cadence_days IS NOT NULL;

CREATE TABLE class_scenario AS
-- table: class_scenario: scenarios that a class must have a runbook for, with the runbook that somebody declared; one row each
WITH demanded AS (SELECT c.resource_no, c.class, c.tier, unnest(t.runbook_scenarios) AS scenario FROM class c JOIN tier t ON t.tier = c.tier),
     -- A review that is still to come is none.
     runbook AS (
         SELECT d.* REPLACE (CASE WHEN d.reviewed_on <= s.as_of::DATE THEN d.reviewed_on END AS reviewed_on)
         FROM declared_runbook d CROSS JOIN setting s
     )
SELECT
    d.resource_no                        AS class_no,             -- key of the class
    d.scenario                           AS scenario,             -- single_vm, ransomware, region_loss, ...
    r.title                              AS title,                -- of the runbook; null = there is none
    r.owner                              AS owner,                -- who declares it
    r.url IS NOT NULL AND r.sha256 IS NOT NULL AS identified,     -- its address and the hash of its content are told
    hours_since(r.reviewed_on) / 24      AS reviewed_days,        -- since its last review; null = never
    strftime(r.reviewed_on, '%Y-%m-%d')  AS reviewed_on           -- day of that review
FROM demanded d
LEFT JOIN runbook r ON r.scenario = d.scenario AND (r.class = d.class OR r.tier = d.tier)
QUALIFY row_number() OVER (
    PARTITION BY d.resource_no, d.scenario
    ORDER BY r.url IS NOT NULL AND r.sha256 IS NOT NULL DESC, r.reviewed_on DESC NULLS LAST, r.title) = 1;
