-- Proof that recovery works: restore tests and runbooks of each class.

CREATE TABLE class AS
-- table: class: classes of the standard that hold judged VMs, and one for the VMs of no class; one row each
SELECT
    d.resource_no                        AS resource_no,          -- key within this bundle
    'auditor:class/' || lower(d.name)    AS resource_id,          -- auditor:class/<name>, lower-cased
    d.name                               AS resource_name,        -- its name in the standard
    ''                                   AS subscription_id,      -- a class has none
    d.name                               AS class,                -- the same
    d.tier                               AS tier,                 -- tier of its VMs
    d.owner                              AS owner,                -- as the standard names one
    m.vm_count                           AS vm_count              -- judged VMs in it
FROM declared_class d
JOIN (SELECT coalesce(class, '(unclassified)') AS name, count(*) AS vm_count FROM vm WHERE excluded_code IS NULL GROUP BY 1) m
    ON m.name = d.name;
