-- Managed-disk snapshots: who made them, where they come from, how long they may stay.

CREATE TABLE snapshot AS
-- table: snapshot: managed-disk snapshots in scope, who made them and where they come from; one row each
WITH tagged AS (
    SELECT r.resource_no, lower(r.resource_name) AS name, lower(r.resource_group) AS place, r.tag_entries,
           list_transform(r.tag_entries, lambda t: t.key) AS keys
    FROM resource r WHERE r.resource_type = 'snapshot'
),
marked AS (
    SELECT t.resource_no,
           list_filter(t.tag_entries, lambda x: x.key = lower(e.hold_tag))[1].value AS hold_text,
           list_filter(list_transform(e.expiry_tags, lambda wanted: list_filter(t.tag_entries, lambda x: x.key = wanted)[1]),
                       lambda found: found IS NOT NULL)[1] AS expiry,
           len(list_filter(t.keys, lambda k: starts_with(k, 'kubernetes.io') OR starts_with(k, 'k8s-azure')
                                             OR starts_with(k, 'velero.io') OR contains(k, 'csi.azure.com'))) > 0
               OR len(list_filter(t.tag_entries, lambda x: x.key = 'created-by' AND starts_with(lower(x.value), 'kubernetes'))) > 0
               AS of_kubernetes,
           list_contains(t.keys, 'rsvaultbackup') OR starts_with(t.name, 'asrseeddisk-') OR starts_with(t.name, 'ms-asr-')
              
               OR ends_with(t.name, '-asrreplica')
               AS of_site_recovery,
           len(list_filter(t.keys, lambda k: starts_with(k, 'packer') OR k = 'imagebuilder' OR k = 'imagetemplatename')) > 0
               OR len(list_filter(t.tag_entries, lambda x: x.key IN ('createdby', 'created-by')
                                                          AND lower(x.value) IN ('azurevmimagebuilder', 'packer'))) > 0
               AS of_image_build,
           starts_with(t.place, 'azurebackuprg_') AS of_azure_backup,
           list_filter(e.third_party, lambda p: coalesce(starts_with(t.name, p.name_prefix), false)
               OR coalesce(len(list_filter(t.keys, lambda k: starts_with(k, p.tag_prefix))) > 0, false))[1] AS product
    FROM tagged t CROSS JOIN setting e
),
disk_backup AS (
    SELECT s.resource_no, min(b.resource_id) AS instance_id
    FROM live_snapshot s JOIN raw.backup_instance b
      ON b.source_id = s.source_id
     AND b.snapshot_group_id = '/subscriptions/' || s.subscription_id || '/resourcegroups/' || lower(s.resource_group)
    GROUP BY s.resource_no
),
guessed AS (
    SELECT m.resource_no, m.hold_text, m.expiry,
        coalesce(try_cast(try_strptime(m.expiry.value, ['%Y-%m-%d', '%Y/%m/%d', '%d.%m.%Y', '%Y%m%d']) AS TIMESTAMP) + INTERVAL 1 DAY,
                 try_cast(try_cast(m.expiry.value AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS TIMESTAMP)) AT TIME ZONE 'UTC' AS expires_at,
        CASE
            WHEN m.of_azure_backup THEN {'who': 'azure_backup', 'why': 'its resource group belongs to Azure Backup'}
            WHEN b.instance_id IS NOT NULL THEN {'who': 'azure_disk_backup', 'why': 'backup instance ' || b.instance_id}
            WHEN m.of_kubernetes THEN {'who': 'kubernetes_csi', 'why': 'tags of a Kubernetes volume snapshot'}
            WHEN m.of_site_recovery THEN {'who': 'asr', 'why': 'name or tag of Azure Site Recovery'}
            WHEN m.product IS NOT NULL THEN {'who': 'third_party', 'why': m.product.product || ': ' || m.product.mark}
            WHEN m.of_image_build THEN {'who': 'image_build', 'why': 'tags of an image build'}
            ELSE {'who': 'user', 'why': 'no mark of a product'}
        END AS origin
    FROM marked m LEFT JOIN disk_backup b USING (resource_no)
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
    hours_since(s.created_at)            AS age_hours,            -- null where Azure sent no time
    g.origin.who                         AS provenance,           -- user, third_party, azure_backup, azure_disk_backup, kubernetes_csi, asr, image_build
    g.origin.why                         AS provenance_evidence,  -- what the guess rests on
    s.source_id                          AS source_id,            -- disk or snapshot it was copied from
    CASE WHEN contains(s.source_id, '/microsoft.compute/disks/') THEN 'disk'
         WHEN contains(s.source_id, '/microsoft.compute/snapshots/') THEN 'snapshot' ELSE 'other' END AS source_kind, -- disk, snapshot, other
    d.resource_no IS NOT NULL OR n.resource_no IS NOT NULL AS source_found, -- the source is in the inventory
    coalesce(d.unique_id <> s.source_unique_id, false) AS source_replaced, -- a disk of that name exists, but it is another one
    coalesce(a.whole, false)             AS source_complete,      -- the source's subscription was read, so that absence is evidence
    g.hold_text IS NOT NULL AND lower(g.hold_text) NOT IN ('', 'false', 'no', 'none', '0') AS held, -- legal hold
    g.expiry.key                         AS expiry_tag,           -- the tag that names an end; null = none
    g.expiry.value                       AS expiry_text,          -- its value
    -hours_since(g.expires_at)           AS expires_in_hours,     -- negative = past; null = none or not a date
    CASE WHEN coalesce(s.immutability_expired, false) THEN NULL ELSE -hours_since(s.immutable_until) END AS immutable_for_hours, -- cannot be deleted before
    t.stale_after_hours                  AS stale_after_hours,    -- operational tier of the standard
    t.snapshot_grace_hours               AS grace_hours,          -- added to it
    t.band_medium_hours                  AS band_medium_hours,    -- older than this is medium
    t.band_high_hours                    AS band_high_hours,      -- older than this is high
    t.max_expiry_hours                   AS max_expiry_hours,     -- an expiry tag counts up to this far ahead
    c.class                              AS class,                -- class of the standard; null where none matches
    c.tier                               AS tier,                 -- tier it is judged by
    c.owner                              AS owner                 -- from the owner tags, else the class
FROM live_snapshot s
CROSS JOIN setting t
JOIN classified c ON c.resource_no = s.resource_no
JOIN guessed g ON g.resource_no = s.resource_no
LEFT JOIN live_disk d ON d.resource_id = s.source_id
LEFT JOIN live_snapshot n ON n.resource_id = s.source_id
LEFT JOIN (SELECT subscription_id, bool_and(whole) AS whole FROM covered WHERE table_name IN ('disk', 'snapshot') GROUP BY 1) a
    ON a.subscription_id = split_part(s.source_id, '/', 3);

CREATE TABLE vm_snapshot AS
-- table: vm_snapshot: snapshots of a VM's disks; one row a VM and snapshot
SELECT
    d.vm_no                              AS vm_no,                -- key of the VM
    s.resource_no                        AS snapshot_no,          -- key of the snapshot
    s.resource_name                      AS snapshot_name,        -- name of the snapshot
    s.age_hours                          AS age_hours,            -- null where Azure sent no time
    s.provenance                         AS provenance            -- see snapshot
FROM vm_disk d JOIN snapshot s ON s.source_id = d.disk_id;
