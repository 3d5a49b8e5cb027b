-- Managed-disk snapshots: who made them, where they come from, how long they may stay.

-- What the tags of a snapshot say, for each set of them.
CREATE TABLE snapshot_tags AS
WITH listed AS (
    SELECT x.set_no, x.tag_entries, list_transform(x.tag_entries, lambda t: t.key) AS keys FROM tag_set x
    WHERE x.set_no IN (SELECT c.set_no FROM classified c JOIN live_snapshot s ON s.resource_no = c.resource_no)
),
marked AS (
    SELECT t.set_no,
           list_filter(t.tag_entries, lambda x: x.key = lower(e.hold_tag))[1].value AS hold_text,
           list_filter(list_transform(e.expiry_tags, lambda wanted: list_filter(t.tag_entries, lambda x: x.key = wanted)[1]),
                       lambda found: found IS NOT NULL)[1] AS expiry,
           len(list_filter(t.keys, lambda k: starts_with(k, 'kubernetes.io') OR starts_with(k, 'k8s-azure')
                                             OR starts_with(k, 'velero.io') OR contains(k, 'csi.azure.com'))) > 0
               OR len(list_filter(t.tag_entries, lambda x: x.key = 'created-by' AND starts_with(lower(x.value), 'kubernetes'))) > 0
               AS of_kubernetes,
           list_contains(t.keys, 'rsvaultbackup') AS of_site_recovery,
           len(list_filter(t.keys, lambda k: starts_with(k, 'packer') OR k = 'imagebuilder' OR k = 'imagetemplatename')) > 0
               OR len(list_filter(t.tag_entries, lambda x: x.key IN ('createdby', 'created-by')
                                                          AND lower(x.value) IN ('azurevmimagebuilder', 'packer'))) > 0
               AS of_image_build,
           list_transform(list_filter(e.third_party, lambda p: len(list_filter(t.keys, lambda k: starts_with(k, p.tag_prefix))) > 0),
                          lambda p: p.product) AS products,
           -- Any of the standard's expiry tags stands for an end, any of its owner tags for an owner. Nothing said is no tag.
           array_to_string(list_filter(e.required_tags, lambda wanted: NOT list_has_any(
               list_transform(list_filter(t.tag_entries, lambda x: x.value <> ''), lambda x: x.key),
               CASE WHEN list_contains(e.expiry_tags, wanted) THEN e.expiry_tags
                    WHEN wanted = 'owner' OR list_contains(e.owner_tags, wanted) THEN list_append(e.owner_tags, 'owner')
                    ELSE [wanted] END)), ', ') AS missing_tags,
           len(list_filter(t.tag_entries, lambda x: x.key = 'fast-restore' AND lower(x.value) NOT IN ('', 'false', 'no', 'none', '0'))) > 0
               AS fast_restore
    FROM listed t CROSS JOIN setting e
)
SELECT m.set_no, m.expiry, m.of_kubernetes, m.of_site_recovery, m.of_image_build, m.products, m.missing_tags, m.fast_restore,
       coalesce(lower(m.hold_text) NOT IN ('', 'false', 'no', 'none', '0'), false) AS held,
       coalesce(try_cast(try_strptime(m.expiry.value, ['%Y-%m-%d', '%Y/%m/%d', '%d.%m.%Y', '%Y%m%d']) AS TIMESTAMP) + INTERVAL 1 DAY,
                try_cast(try_cast(m.expiry.value AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS TIMESTAMP)) AT TIME ZONE 'UTC' AS expires_at
FROM marked m;

-- A copy of a snapshot shows that snapshot's disk: up from copy to copy, which may lie in another region.
CREATE TABLE snapshot_origin AS
WITH RECURSIVE copied AS (
    SELECT c.resource_no, s.source_id, s.source_unique_id, s.create_option
    FROM live_snapshot c JOIN live_snapshot s ON s.resource_id = c.source_id
    WHERE contains(c.source_id, '/microsoft.compute/snapshots/')
),
up AS (
    SELECT *, 1 AS steps FROM copied
    UNION ALL
    SELECT u.resource_no, s.source_id, s.source_unique_id, s.create_option, u.steps + 1
    FROM up u JOIN live_snapshot s ON s.resource_id = u.source_id WHERE u.steps < 20
)
SELECT resource_no, source_id, source_unique_id FROM up WHERE lower(create_option) IN ('copy', 'copystart') AND source_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY resource_no ORDER BY steps DESC) = 1;

CREATE TABLE snapshot AS
-- table: snapshot: managed-disk snapshots in scope, who made them and where they come from; one row each
WITH disk_backup AS (
    SELECT s.resource_no, min(b.resource_id) AS instance_id
    FROM live_snapshot s JOIN raw.backup_instance b
      ON b.source_id = s.source_id
     AND b.snapshot_group_id = '/subscriptions/' || s.subscription_id || '/resourcegroups/' || lower(s.resource_group)
    GROUP BY s.resource_no
),
named AS (
    SELECT s.*, m.expiry, m.expires_at, m.held, m.missing_tags, m.fast_restore, m.of_kubernetes, m.of_image_build,
           c.class, c.tier, c.owner, b.instance_id,
           coalesce(o.source_id, s.source_id) AS origin_id,
           CASE WHEN o.source_id IS NULL THEN s.source_unique_id ELSE o.source_unique_id END AS origin_unique_id,
           starts_with(lower(s.resource_group), 'azurebackuprg_') AS of_azure_backup,
           m.of_site_recovery OR starts_with(lower(s.resource_name), 'asrseeddisk-') OR starts_with(lower(s.resource_name), 'ms-asr-')
               OR ends_with(lower(s.resource_name), '-asrreplica') AS of_site_recovery,
           list_filter(e.third_party, lambda p: coalesce(starts_with(lower(s.resource_name), p.name_prefix), false)
               OR list_contains(m.products, p.product))[1] AS product
    FROM live_snapshot s
    CROSS JOIN setting e
    JOIN classified c ON c.resource_no = s.resource_no
    JOIN snapshot_tags m ON m.set_no = c.set_no
    LEFT JOIN disk_backup b ON b.resource_no = s.resource_no
    LEFT JOIN snapshot_origin o ON o.resource_no = s.resource_no
),
told AS (
    SELECT s.*, t.*,
           CASE
               WHEN s.of_azure_backup THEN {'who': 'azure_backup', 'why': 'its resource group belongs to Azure Backup'}
               WHEN s.instance_id IS NOT NULL THEN {'who': 'azure_disk_backup', 'why': s.instance_id}
               WHEN s.of_kubernetes THEN {'who': 'kubernetes_csi', 'why': 'tags of a Kubernetes volume snapshot'}
               WHEN s.of_site_recovery THEN {'who': 'asr', 'why': 'name or tag of Azure Site Recovery'}
               WHEN s.product IS NOT NULL THEN {'who': 'third_party', 'why': s.product.product || ': ' || s.product.mark}
               WHEN s.of_image_build THEN {'who': 'image_build', 'why': 'tags of an image build'}
               ELSE {'who': 'user', 'why': 'no mark of a product'}
           END AS origin,
           hours_since(s.created_at) AS age_hours, -hours_since(s.expires_at) AS expires_in_hours,
           CASE WHEN coalesce(s.immutability_expired, false) THEN NULL ELSE -hours_since(s.immutable_until) END AS immutable_for_hours,
           CASE WHEN contains(s.origin_id, '/microsoft.compute/disks/') THEN 'disk'
                WHEN contains(s.origin_id, '/microsoft.compute/snapshots/') THEN 'snapshot' ELSE 'other' END AS origin_kind,
           d.resource_no IS NOT NULL OR n.resource_no IS NOT NULL AS source_found,
           coalesce(d.unique_id <> s.origin_unique_id, false) AS source_replaced,
           e.unique_id IS NOT NULL AS source_moved,
           coalesce(a.whole, false) AS source_complete,
           p.gib_month AS price_gib_month
    FROM named s
    CROSS JOIN setting t
    LEFT JOIN live_disk d ON d.resource_id = s.origin_id
    LEFT JOIN live_snapshot n ON n.resource_id = s.origin_id
    -- Moved since: it has another id, and is the same disk.
    LEFT JOIN (SELECT DISTINCT unique_id FROM live_disk) e ON e.unique_id = s.origin_unique_id
    LEFT JOIN (SELECT subscription_id, bool_and(whole) AS whole FROM covered WHERE table_name IN ('disk', 'snapshot') GROUP BY 1) a
        ON a.subscription_id = split_part(s.origin_id, '/', 3)
    LEFT JOIN (SELECT sku, max(gib_month) AS gib_month FROM price GROUP BY 1) p ON p.sku = lower(s.sku)
)
SELECT
    s.resource_no                        AS resource_no,          -- key within this bundle
    s.resource_id                        AS resource_id,          -- lower-cased ARM id
    s.resource_name                      AS resource_name,        -- name as created
    s.resource_group                     AS resource_group,       -- name of the resource group
    s.subscription_id                    AS subscription_id,      -- lower-cased GUID
    s.sku                                AS sku,                  -- Standard_LRS, Standard_ZRS, Premium_LRS
    s.incremental                        AS incremental,          -- false = full copy
    s.size_gib                           AS size_gib,             -- provisioned size of the source: an upper bound of what is billed
    s.create_option                      AS create_option,        -- Copy, CopyStart, Import, ...
    s.age_hours                          AS age_hours,            -- null where Azure sent no time
    s.origin.who                         AS provenance,           -- user, third_party, azure_backup, azure_disk_backup, kubernetes_csi, asr, image_build
    s.origin.why                         AS provenance_evidence,  -- what the guess rests on
    CASE WHEN s.origin.who NOT IN ('user', 'unknown') THEN 'made_by_product'
         WHEN s.held THEN 'legal_hold'
         WHEN coalesce(s.immutable_for_hours > 0, NOT s.immutability_expired) THEN 'immutable' END AS exempt_code, -- why nobody may be asked to delete it: made_by_product, legal_hold, immutable; null = one may
    s.source_id                          AS source_id,            -- disk or snapshot it was copied from
    s.origin_kind                        AS source_kind,          -- disk, snapshot, other
    s.source_found                       AS source_found,         -- the source is in the inventory
    s.source_replaced                    AS source_replaced,      -- a disk of that name exists, but it is another one
    s.source_complete                    AS source_complete,      -- the source's subscription was read, so that absence is evidence
    CASE WHEN s.create_option IS NULL THEN 'source_not_sent'
         WHEN lower(s.create_option) NOT IN ('copy', 'copystart') THEN 'not_a_copy'
         WHEN s.source_id IS NULL THEN 'source_not_sent'
         WHEN s.origin_kind = 'other' THEN 'not_of_a_disk'
         WHEN s.source_moved THEN 'source_exists'
         WHEN s.source_replaced THEN 'source_replaced'
         WHEN s.source_found THEN 'source_exists'
         WHEN s.origin_kind = 'snapshot' THEN 'source_snapshot_gone'
         WHEN s.source_complete THEN 'source_gone'
         ELSE 'source_not_read' END      AS source_state,         -- source_exists, source_gone, source_replaced, source_snapshot_gone, source_not_read, source_not_sent, not_of_a_disk, not_a_copy
    s.origin_id                          AS origin_id,            -- disk that it shows; of a copy of a snapshot that snapshot's disk, and what is said of the source is said of it
    s.held                               AS held,                 -- legal hold
    s.expiry.key                         AS expiry_tag,           -- the tag that names an end; null = none
    s.expiry.value                       AS expiry_text,          -- its value
    s.expires_in_hours                   AS expires_in_hours,     -- negative = past; null = none or not a date
    CASE WHEN s.expires_in_hours < 0 THEN 'end_has_passed'
         WHEN s.expires_in_hours <= s.max_expiry_hours THEN 'end_is_set'
         WHEN s.expires_in_hours IS NOT NULL THEN 'end_too_far'
         WHEN s.expiry.key IS NOT NULL THEN 'end_unreadable' ELSE 'no_end' END AS end_state, -- end_is_set (it counts), end_too_far, end_has_passed, end_unreadable, no_end
    nullif(s.missing_tags, '')           AS missing_tags,         -- required tags that it lacks, after its resource group's; null = none
    NOT s.inherit_resource_group_tags OR coalesce(w.whole, false) AS tags_complete, -- the tags that it inherits were read
    s.immutable_for_hours                AS immutable_for_hours,  -- cannot be deleted before; null where nothing forbids it
    s.stale_after_hours                  AS stale_after_hours,    -- operational tier of the standard
    s.snapshot_grace_hours               AS grace_hours,          -- added to it
    s.age_hours - s.stale_after_hours - s.snapshot_grace_hours AS overdue_hours, -- since it outlived the operational tier and the grace; negative = not yet
    s.band_medium_hours                  AS band_medium_hours,    -- older than this is medium
    s.band_high_hours                    AS band_high_hours,      -- older than this is high
    s.max_expiry_hours                   AS max_expiry_hours,     -- an expiry tag counts up to this far ahead
    coalesce(NOT s.incremental, CASE WHEN s.created_at < TIMESTAMPTZ '2020-01-01 00:00:00+00' OR lower(s.sku) = 'premium_lrs' THEN true END) AS full_copy, -- a full copy; where Azure does not say, those older than incremental snapshots and those on Premium_LRS are; null = not known
    s.require_incremental AND coalesce(lower(s.create_option) IN ('copy', 'copystart'), true) AS incremental_demanded, -- the standard asks for incremental ones, and this one could be
    s.fast_restore                       AS fast_restore,         -- its tag fast-restore states that it needs premium storage
    s.age_hours - coalesce(s.allow_premium_hours, 0) AS premium_over_hours, -- since a snapshot should no longer be on premium storage; negative = not yet
    s.disk_state                         AS disk_state,           -- Unattached, ActiveSAS, ActiveSASFrozen, ...
    s.network_access_policy              AS network_access_policy, -- AllowAll, AllowPrivate, DenyAll
    s.public_network_access              AS public_network_access, -- Enabled, Disabled
    s.data_access_auth_mode              AS data_access_auth_mode, -- AzureActiveDirectory = an export needs a sign-in too
    s.snapshot_network_policy            AS network_policy_demanded, -- AllowAll = the standard lets snapshots be exported from anywhere
    s.snapshot_public_access             AS public_access_demanded, -- Enabled = the same
    s.sas_max_hours                      AS sas_max_hours,        -- an export may last this long
    s.completion_percent                 AS completion_percent,   -- of a copy under way; null = done
    s.price_gib_month                    AS price_gib_month,      -- of its SKU in the standard; null = none there
    s.class                              AS class,                -- class of the standard; null where none matches
    s.tier                               AS tier,                 -- tier it is judged by
    s.owner                              AS owner                 -- from the owner tags, else the class
FROM told s
LEFT JOIN read_wholly w ON w.table_name = 'resource_group' AND w.subscription_id = s.subscription_id;

CREATE TABLE vm_snapshot AS
-- table: vm_snapshot: snapshots of a VM's disks; one row a VM and snapshot
SELECT
    d.vm_no                              AS vm_no,                -- key of the VM
    s.resource_no                        AS snapshot_no,          -- key of the snapshot
    s.resource_name                      AS snapshot_name,        -- name of the snapshot
    s.age_hours                          AS age_hours,            -- null where Azure sent no time
    s.provenance                         AS provenance            -- see snapshot
FROM vm_disk d JOIN snapshot s ON s.source_id = d.disk_id;

CREATE TABLE disk_copy AS
-- table: disk_copy: what copies of each disk there are; one row a disk
WITH taken AS (
    -- The unique id tells a disk from another one under its old name; where either was not sent, the name must do.
    SELECT d.resource_no AS disk_no, s.age_hours, coalesce(s.completion_percent < 100, false) AS partial, s.provenance
    FROM live_disk d JOIN snapshot s ON s.source_id = d.resource_id AND NOT s.source_replaced
    UNION ALL
    -- Moved since: its snapshots name the old place.
    SELECT d.resource_no, s.age_hours, coalesce(s.completion_percent < 100, false), s.provenance
    FROM live_disk d JOIN raw.snapshot x ON x.source_unique_id = d.unique_id AND x.source_id IS DISTINCT FROM d.resource_id
    JOIN snapshot s ON s.resource_no = x.resource_no
),
made AS (
    SELECT disk_no, provenance, count(*) AS made FROM taken WHERE NOT partial GROUP BY 1, 2
),
counted AS (
    SELECT disk_no, count(*) FILTER (NOT partial) AS snapshots, count(*) FILTER (partial) AS partials,
           max(age_hours) FILTER (NOT partial) AS oldest, min(age_hours) FILTER (NOT partial) AS newest,
           min(provenance) FILTER (NOT partial) AS one_maker, max(provenance) FILTER (NOT partial) AS another
    FROM taken GROUP BY 1
),
-- Most have one maker, and sorting is dear.
makers AS (
    SELECT disk_no, string_agg(provenance || ' ' || made, ', ' ORDER BY made DESC, provenance) AS makers FROM made
    WHERE disk_no IN (SELECT disk_no FROM counted WHERE one_maker <> another) GROUP BY 1
),
points AS (
    SELECT c.vm_id, count(*) AS restore_points
    FROM raw.restore_point r JOIN raw.restore_point_collection c ON c.resource_id = r.collection_id
    WHERE lower(coalesce(r.provisioning_state, 'succeeded')) = 'succeeded' GROUP BY 1
),
instances AS (
    SELECT source_id, count(*) AS instances FROM raw.backup_instance
    WHERE lower(current_protection_state) = 'protectionconfigured' GROUP BY 1
),
attached AS (SELECT disk_id, min(vm_no) AS vm_no FROM vm_disk GROUP BY 1)
SELECT
    d.resource_no                        AS disk_no,              -- key of the disk
    coalesce(n.snapshots, 0)             AS snapshot_count,       -- snapshots of it, whoever made them, also of before it was moved
    coalesce(n.partials, 0)              AS partial_count,        -- copies that have not arrived whole; not among them
    coalesce(m.makers, n.one_maker || ' ' || n.snapshots) AS made_by,              -- who made how many; null where there are none
    n.newest                             AS newest_snapshot_age_hours, -- null where there is none
    n.oldest                             AS oldest_snapshot_age_hours, -- null where there is none
    coalesce(r.restore_points, 0)        AS restore_point_count,  -- restore points of its VM that Azure Backup did not make
    coalesce(i.instances, 0)             AS disk_backup_count,    -- instances of Azure Disk Backup that protect it
    a.vm_no                              AS vm_no,                -- key of a VM that it is attached to; null = none in scope
    d.disk_state                         AS disk_state,           -- Attached, Unattached, Reserved, ActiveSAS, ...
    hours_since(d.created_at)            AS age_hours,            -- since the disk was created; null where Azure sent no time
    CASE WHEN t.exclude_managed AND g.managed_by IS NOT NULL THEN 'managed_rg'
         WHEN x.of_site_recovery
              OR starts_with(lower(d.resource_name), 'asrseeddisk-') OR starts_with(lower(d.resource_name), 'ms-asr-')
              OR ends_with(lower(d.resource_name), '-asrreplica') THEN 'made_by_product' END AS excluded_code, -- why an unattached one is not judged; null where it is
    t.per_disk_warn                      AS per_disk_warn,        -- more snapshots than this are low
    t.per_disk_bad                       AS per_disk_bad,         -- more than this are medium
    t.per_disk_guard                     AS per_disk_guard,       -- as many as this are high: Azure takes no more than 500
    NOT list_contains(u.lacking_tables, 'snapshot') AS snapshot_complete, -- all snapshots in scope were read
    NOT list_has_any(u.lacking_tables, ['restore_point_collection', 'restore_point', 'subscription', 'backup_instance']) AS other_copy_complete -- all restore points in scope and all instances of Backup vaults of the tenant were read
FROM live_disk d
CROSS JOIN setting t
LEFT JOIN classified c ON c.resource_no = d.resource_no
LEFT JOIN tag_set x ON x.set_no = c.set_no
LEFT JOIN counted n ON n.disk_no = d.resource_no
LEFT JOIN makers m ON m.disk_no = d.resource_no
LEFT JOIN attached a ON a.disk_id = d.resource_id
LEFT JOIN raw.vm v ON v.resource_no = a.vm_no
LEFT JOIN points r ON r.vm_id = v.resource_id
LEFT JOIN instances i ON i.source_id = d.resource_id
LEFT JOIN raw.resource_group g
    ON g.resource_id = '/subscriptions/' || d.subscription_id || '/resourcegroups/' || lower(d.resource_group)
LEFT JOIN known_subscription k ON k.subscription_id = d.subscription_id
JOIN tenant u ON u.tenant_id = coalesce(k.tenant_id, '');

CREATE TABLE snapshot_cost AS
-- table: snapshot_cost: what the standard says of the cost of snapshots; one row a subscription in scope
SELECT
    a.subscription_id                    AS subscription_id,      -- lower-cased GUID
    t.min_month                          AS min_month,            -- waste up to this much a month is let pass
    t.currency                           AS currency,             -- of the prices
    coalesce(w.whole, false)             AS snapshot_complete     -- its snapshots and disks were read
FROM audited a
CROSS JOIN setting t
LEFT JOIN (SELECT subscription_id, bool_and(whole) AS whole FROM covered WHERE table_name IN ('snapshot', 'disk') GROUP BY 1) w
    ON w.subscription_id = a.subscription_id;
