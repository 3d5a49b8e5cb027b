from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor import assets, rulebook, standard
from auditor.document import load
from auditor.errors import DocumentError
from auditor.rulebook import frameworks, pages
from auditor.rulebook.frameworks import Mark

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = frameworks.read()
BOOK = rulebook.read(whole=True)
OWN = """\
framework: house_rules
name: Rules of the house
version: "3"
publisher: We
url: https://example.org
controls:
  - {id: 4.2, title: Copies are kept, proves: p, does_not_prove: d, mark: read, source: our book}
"""


def written(folder: Path, text: str, name: str = "house_rules") -> Path:
    (folder / "frameworks").mkdir(exist_ok=True)
    (folder / "frameworks" / f"{name}.yaml").write_text(text)
    return folder


def test_thirteen_frameworks_are_shipped() -> None:
    assert sorted(KNOWN) == sorted(
        [
            *("mcsb_v1", "mcsb_v2", "cis_controls_8_1", "cis_azure_storage_1_0", "nist_800_53_r5", "nist_csf_2_0"),
            *("iso_27001_2022", "soc2_2017", "pci_dss_4_0_1", "hipaa_security", "dora", "nis2", "bsi_c5"),
        ]
    )


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.id)
def test_every_control_that_a_shipped_rule_names_is_known(rule: rulebook.Rule) -> None:
    assert [str(fault) for fault in frameworks.named_by_rule(rule, KNOWN)] == []


def test_shipped_standards_name_known_frameworks() -> None:
    for path in (assets.rules() / "standards").glob("*.yaml"):
        frameworks.named_by_standard(standard.read(path).file.frameworks, path, None, KNOWN)


def test_what_must_be_said_of_cis_foundations_is_said() -> None:
    assert (
        "Foundations Benchmark contains no recommendation on Azure VM backup" in KNOWN["cis_azure_storage_1_0"].file.say
    )


def test_where_a_test_is_demanded_a_configured_backup_is_not_said_to_prove_it() -> None:
    for key, name in (("nist_800_53_r5", "CP-9"), ("iso_27001_2022", "A.8.13"), ("nist_csf_2_0", "PR.DS-11")):
        assert "restore was tested" in KNOWN[key].file.by_id[name].does_not_prove


def test_ids_from_transcriptions_are_not_called_read() -> None:
    for key in ("cis_controls_8_1", "cis_azure_storage_1_0"):
        assert {control.mark for control in KNOWN[key].file.controls} == {Mark.SECONDARY}


def test_an_id_in_azures_policies_is_read_in_microsofts_own_benchmark_alone() -> None:
    """Who finds an id of AICPA's or PCI's in an initiative of Azure Policy has not read AICPA or PCI."""
    named = [
        (key, control.id, control.mark)
        for key, read in KNOWN.items()
        for control in read.file.controls
        if "Azure Policy built-ins" in control.source and not key.startswith("mcsb_")
    ]
    assert named
    assert {mark for _, _, mark in named} == {"secondary"}


def test_a_users_own_framework_is_added(tmp_path: Path) -> None:
    found = frameworks.read([written(tmp_path, OWN)])
    assert found["house_rules"].file.by_id["4.2"].title == "Copies are kept"
    assert set(KNOWN) < set(found)


def test_a_bundles_own_frameworks_win_and_what_it_lacks_is_filled_in(tmp_path: Path) -> None:
    text = KNOWN["dora"].text.replace("name: DORA", "name: The DORA of then")
    found = frameworks.read([written(tmp_path, text, "dora")], shipped=False)
    assert found["dora"].file.name.startswith("The DORA of then")
    assert set(found) == set(KNOWN)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("mark: read", "mark: sure", "house_rules.yaml:7: controls.0.mark: Input should be 'read'"),
        ("publisher: We", "publsher: We", "house_rules.yaml:4: unknown key 'publsher'\n  did you mean 'publisher'?"),
        ("house_rules\n", "other\n", "house_rules.yaml:1: framework 'other' and file name 'house_rules' differ"),
        ("title: Copies are kept, ", "", "house_rules.yaml:7: 'controls.0.title' is missing"),
        ("controls:\n", "controls:\n  - {id: '4.2', title: t, proves: p, does_not_prove: d, mark: read, source: s}\n",
         "house_rules.yaml:8: control '4.2' is given twice"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        frameworks.read([written(tmp_path, OWN.replace(old, new, 1))])
    assert told in str(caught.value)


def test_a_shipped_framework_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"framework 'dora' stands in rules/frameworks/dora\.yaml already"):
        frameworks.read([written(tmp_path, KNOWN["dora"].text, "dora")])


def test_a_standard_that_names_no_framework_is_told_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "standard.yaml"
    path.write_text("a: 1\nframeworks:\n  - dora\n  - nis_2\n")
    with pytest.raises(DocumentError, match=r"standard.yaml:4: there is no framework 'nis_2'\n  did you mean 'nis2'\?"):
        frameworks.named_by_standard(["dora", "nis_2"], path, None, KNOWN)


def test_a_rule_that_names_no_control_is_told_the_nearest(tmp_path: Path) -> None:
    source = BOOK.get("vm-unprotected")
    text = source.text.replace("CP-9", "CP-99", 1)
    (tmp_path / "vm-unprotected.yaml").write_text(text)
    rule = rulebook.read([tmp_path], shipped=False).rules[0]
    (fault,) = frameworks.named_by_rule(rule, KNOWN)
    assert str(fault).endswith("nist_800_53_r5 has no control 'CP-99'\n  did you mean 'CP-9'?")
    assert fault.line == rule.document.line(("controls", "nist_800_53_r5"))


def test_the_page_has_every_control_with_its_rules() -> None:
    text = pages.frameworks(KNOWN, BOOK.rules)
    for read in KNOWN.values():
        assert read.file.say in text
        for control in read.file.controls:
            assert f"\n| {control.id} | {control.title} |" in text
    line = next(line for line in text.splitlines() if line.startswith("| CP-9 |"))
    assert "[vm-unprotected](rules/vm-unprotected.md)" in line


def test_each_shipped_control_has_its_subject_in_german() -> None:
    german = load(assets.templates() / "texts.de.yaml").data["controls"]
    assert all(set(said) == {"say", "titles"} for said in german.values())
    shipped = {key: it.file for key, it in frameworks.read().items()}
    assert {key: set(it.by_id) for key, it in shipped.items()} == {key: set(it["titles"]) for key, it in german.items()}
    assert all(german[key]["say"] for key, it in shipped.items() if it.say)
