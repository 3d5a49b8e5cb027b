"""Bugs that other tools had, each as a test named after its number: `pytest tests/peers -k fixture_07`.

The 33 situations come from the issue trackers of Prowler, ScoutSuite, Powerpipe, cloudbeat, the Azure CLI and others,
among them prowler#10372, #10719 and #3721, azure-cli#27359 and #33703, azure-powershell#12206, cloudbeat#7424,
sf-audit-plugin#97 and terraform-provider-azurerm#28301. Their estate is `estate.yaml`, or stands beside the test. What
concerns collection and verdicts goes the whole way: simulator over HTTP, the real SDKs, a bundle, verdicts, gate.

What is not tested here, because it is not there yet:

- 21, a finding on two equal classes: no rule `vm-tier-unassigned` yet; that the table `vm` shows it is tested.
- 23, the cost of a snapshot as an upper bound: no rule speaks of cost yet; that its size is one is tested.
- 24, a finding on disks left out: no rule `vm-disk-excluded` yet; that the table `protection` counts them is tested.
- 11, a finding on an item whose machine is gone: no rule judges items yet; that it is no machine is tested.
- 25, a waiver that matches nothing as an error: it is a note in the reports, and that is tested.
"""
