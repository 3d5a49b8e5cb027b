-- Virtual machines in scope (instances of flexible scale sets are among them, uniform ones are not).
SELECT
    lower(r.id)                                    AS resource_id,           -- lower-cased ARM id
    r.name                                         AS resource_name,         -- name as created
    split_part(r.id, '/', 5)                       AS resource_group,        -- name, casing as sent
    split_part(lower(r.id), '/', 3)                AS subscription_id,       -- lower-cased GUID
    r.location                                     AS location,              -- Azure region
    r.tags                                         AS tags,                  -- as Azure holds them
    lower(nullif(r.managedBy, ''))                 AS managed_by,            -- scale set or managing service
    lower(r.properties.vmId)                       AS vm_uuid,               -- survives a move
    try_cast(r.properties.timeCreated AS TIMESTAMPTZ) AS created_at,         -- reset when the VM is re-created from a disk
    r.properties.priority                          AS priority,              -- Regular, Spot, Low, SpotPlus; null = Regular
    lower(nullif(r.properties.virtualMachineScaleSet.id, '')) AS scale_set_id, -- flexible scale set
    r.properties.storageProfile.imageReference.publisher AS image_publisher, -- marketplace publisher
    r.properties.storageProfile.osDisk.diffDiskSettings.option AS os_disk_placement, -- Local = ephemeral OS disk
    r.properties.hardwareProfile.vmSize            AS size,                  -- Standard_D4s_v5, ...
    r.properties.securityProfile.securityType      AS security_type,         -- TrustedLaunch, ConfidentialVM; null = Standard
    r.properties.storageProfile.osDisk.vhd.uri IS NOT NULL AS unmanaged,     -- OS disk in a storage account
    r.properties.extended.instanceView.powerState.code AS power_state,       -- PowerState/running, .../deallocated, ...
    lower(r.properties.storageProfile.osDisk.managedDisk.id) AS os_disk_id,  -- null where unmanaged or ephemeral
    coalesce(len(r.properties.storageProfile.dataDisks), 0) AS data_disk_count, -- attached data disks
    list_filter(
        list_prepend(lower(r.properties.storageProfile.osDisk.managedDisk.id),
                     list_transform(coalesce(r.properties.storageProfile.dataDisks, []), lambda d: lower(d.managedDisk.id))),
        lambda id: id IS NOT NULL)                 AS disk_ids,              -- managed disks, OS disk first
    list_transform(coalesce(r.properties.storageProfile.dataDisks, []), lambda d:
        {'lun': d.lun, 'disk_id': lower(d.managedDisk.id)}) AS data_disks,   -- slot and id of each data disk
    source                                         AS source                 -- graph or rest: the one these columns come from
FROM (
    SELECT source, unnest(from_json(body, '{"data": [{
        "id": "VARCHAR", "name": "VARCHAR", "resourceGroup": "VARCHAR", "subscriptionId": "VARCHAR",
        "location": "VARCHAR", "managedBy": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)",
        "properties": {
            "vmId": "VARCHAR", "hardwareProfile": {"vmSize": "VARCHAR"},
            "securityProfile": {"securityType": "VARCHAR"}, "timeCreated": "VARCHAR", "priority": "VARCHAR",
            "virtualMachineScaleSet": {"id": "VARCHAR"},
            "storageProfile": {
                "imageReference": {"publisher": "VARCHAR"},
                "osDisk": {"managedDisk": {"id": "VARCHAR"}, "vhd": {"uri": "VARCHAR"}, "diffDiskSettings": {"option": "VARCHAR"}},
                "dataDisks": [{"lun": "INTEGER", "managedDisk": {"id": "VARCHAR"}}]},
            "extended": {"instanceView": {"powerState": {"code": "VARCHAR"}}}}
    }]}').data) AS r
    FROM page
)
