"""Verdicts of whole audits equal an oracle that shares no code with the product."""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor import assets, inputs, pipeline, rulebook, standard
from auditor.document import load
from auditor.model import CALENDAR_DAYS, Status
from auditor.report import formats, view
from auditor.report.formats import pdf
from auditor.report.templates import SHIPPED
from auditor.rulebook import frameworks
from auditor.simulator.estate import Estate
from auditor.standard import evidence
from tests.audits import AS_OF, Audited, audit, default_inputs
from tests.simulator import oracle
from tests.simulator.random_estates import random_estate, random_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AUDITS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
    # The same estates each time, so that a build does not fail by luck; AUDITOR_EXPLORE=1 draws new ones.
    derandomize="AUDITOR_EXPLORE" not in os.environ,
)

CONTOSO = Path(__file__).resolve().parents[2] / "samples" / "estates" / "contoso.yaml"


@pytest.fixture(scope="module")
def contoso(tmp_path_factory: pytest.TempPathFactory) -> tuple[Estate, Audited]:
    estate = Estate.load(CONTOSO, AS_OF)
    return estate, audit(estate, tmp_path_factory.mktemp("store"))


def judged(made: Audited) -> dict[tuple[str, str], tuple[str, str | None]]:
    """(rule, resource) -> (status, severity of a fail), as the oracle writes them; passes too."""
    found: dict[tuple[str, str], tuple[str, str | None]] = {}
    with duckdb.connect() as con:
        for rule in made.results.rules:
            path = made.bundle.folder / "findings" / f"{rule.id}.parquet"
            rows = con.execute("SELECT resource_id, status, severity FROM read_parquet($1)", [str(path)]).fetchall()
            found |= {
                (rule.id, key): (status, severity if status == "fail" else None) for key, status, severity in rows
            }
    return found


def differences(made: Audited, expected: Mapping[tuple[str, str], tuple[str, str | None]]) -> list[str]:
    got = judged(made)
    return [
        f"{rule} {resource}: {got.get((rule, resource))}, expected {expected.get((rule, resource))}"
        for rule, resource in sorted(set(got) | set(expected))
        if got.get((rule, resource)) != expected.get((rule, resource))
    ]


def test_contoso_gives_what_stands_beside_each_resource(contoso: tuple[Estate, Audited]) -> None:
    estate, made = contoso
    got = {key: verdict for key, verdict in judged(made).items() if verdict[0] != "pass"}
    told = {key: (str(e["status"]), e.get("severity")) for key, e in estate.expectations.items()}
    # A rule that the estate speaks of, it speaks of wholly; the others are the oracle's alone.
    spoken = {rule for rule, _ in told}
    got = {key: verdict for key, verdict in got.items() if key[0] in spoken}
    assert set(got) == set(told), "every verdict but pass is written down, and every one written down is given"
    wrong = [
        f"{key}: {got[key]}, expected {told[key]}"
        for key in sorted(got)
        if got[key][0] != told[key][0] or (told[key][1] is not None and got[key][1] != told[key][1])
    ]
    assert wrong == []


def test_a_vm_s_calendar_has_the_days_that_its_rule_judges(contoso: tuple[Estate, Audited]) -> None:
    machines = {it.name: it for it in contoso[1].results.machines}
    fax = machines["crm-fax"].calendar
    assert fax is not None
    assert fax.gaps() == [(date(2026, 11, 15), date(2026, 11, 17))]
    assert fax.last == date(2026, 11, 21)
    for it in machines.values():
        if it.expected_points:
            assert it.calendar is not None, it.name
            assert it.calendar.promised.bit_count() == min(it.expected_points, CALENDAR_DAYS)
            assert it.calendar.missing.bit_count() == it.missing_points
        elif it.calendar is not None:
            assert it.calendar.promised == 0
    stopped = [it for it in machines.values() if it.protection == "stopped" and it.point_count]
    assert stopped
    assert all(it.calendar is not None and it.calendar.promised == 0 for it in stopped)
    assert all(it.calendar is None for it in machines.values() if it.item_id is None)


def test_contoso_gives_what_the_oracle_gives(contoso: tuple[Estate, Audited]) -> None:
    estate, made = contoso
    assert differences(made, oracle.verdicts(estate)) == []


def test_everything_was_read_and_adds_up(contoso: tuple[Estate, Audited]) -> None:
    _, made = contoso
    assert made.results.run.complete
    assert made.results.gate.exit_code == 1
    populations = {p.resource_type: p.total for p in made.results.population}
    for rule in made.results.rules:
        assert sum(rule.statuses.values()) == populations[rule.resource_type], rule.id


def test_every_rule_fires_and_every_reason_has_words(contoso: tuple[Estate, Audited]) -> None:
    _, made = contoso
    for rule in made.results.rules:
        due = rule.statuses[Status.FAIL] + rule.statuses[Status.NOT_YET_DUE]
        assert due > 0 or rule.id in BY_ANOTHER_STANDARD, rule.id
    for finding in made.results.findings:
        assert finding.reason_code, finding.rule
        assert finding.reason != finding.reason_code.replace("_", " ") or " " not in finding.reason_code
        assert "{" not in finding.reason, finding.reason


def test_contoso_in_german_has_no_english_sentence_of_ours(contoso: tuple[Estate, Audited]) -> None:
    _, made = contoso
    results = pipeline.read(made.bundle, language="de")
    report = view.build(results, view.Presentation(language="de"))
    page = formats.find("html").render(report).decode()
    packed = re.search(r'id="data">([A-Za-z0-9+/=]+)<', page)
    assert packed
    data = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    told = [pdf.markup(report), page, json.dumps(data, ensure_ascii=False)]
    told += [
        pdf.markup(view.build(results, view.Presentation(language="de", framework=key)))
        for key in ("nist_800_53_r5", "dora", "bsi_c5")
    ]
    shown = re.sub(r"<(style|pre)\b.*?</\1>|<[^>]+>", "\n", "\n".join(told), flags=re.DOTALL)
    text = html.unescape(re.sub(r"\s+", " ", shown))
    silent = {"resource_name", "age_days", "matures_at"}
    named = {name for row in results.findings for name in row.evidence if not name.endswith("_id")} - silent
    assert {name for name in named if report.texts.get(f"values.{name}", "") == ""} == set()
    params = {name for rule in rulebook.read(whole=True).rules for name in rule.file.params}
    assert {name for name in params if report.texts.get(f"params.{name}", "") == ""} == set()
    for runbook in results.runbooks:
        text = text.replace(runbook.title, "")
    english = our_english()
    assert len(english) > 1000
    assert [said for said in english if said in text] == []


def our_english() -> set[str]:
    """Every text of three words or more that stands between places in English and not in German."""
    texts, german = (SHIPPED.texts(language) for language in ("en", "de"))
    said = [*leaves(texts._tree), *german._tree["sentences"]]
    words = load(assets.rules() / "words.yaml").data
    said += [it["en"] for codes in words.values() if isinstance(codes, dict) for it in codes.values()]
    translated = [
        *leaves(german._tree),
        *(it["de"] for c in words.values() if isinstance(c, dict) for it in c.values()),
    ]
    for rule in rulebook.read(whole=True).rules:
        said += [rule.file.title, rule.file.rationale]
        for message in [*rule.file.messages.values(), *rulebook.common_messages().values()]:
            assert isinstance(message, dict)
            said.append(message["en"])
            translated.append(message["de"])
    for read in frameworks.read().values():
        said += [read.file.say, *(control.title for control in read.file.controls)]
    parts = {part.strip(" ;:,.()") for text in said for part in re.split(r"\{[^}]*\}", re.sub(r"\s+", " ", text))}
    whole = "\n".join(translated)
    return {part for part in parts if part.count(" ") >= 2 and part not in whole}


def leaves(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for inner in tree.values():
            yield from leaves(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from leaves(inner)
    else:
        yield str(tree)


BY_ANOTHER_STANDARD = {
    "vault-cmk-missing": ("cmk: {required: false, double: false}", "cmk: {required: true, double: true}"),
    "cost-snapshot-waste": (
        "{Standard_LRS: null, Standard_ZRS: null, Premium_LRS: null}",
        "{Standard_LRS: 0.05, Standard_ZRS: 0.06, Premium_LRS: 0.1}",
    ),
}
"""Rules that the shipped standard leaves nothing to judge: it demands no key and knows no prices."""


@pytest.mark.slow
def test_what_the_shipped_standard_does_not_ask_fires_and_passes_by_one_that_does(
    contoso: tuple[Estate, Audited], tmp_path: Path
) -> None:
    text = standard.default_path().read_text(encoding="utf-8")
    for shipped, asked in BY_ANOTHER_STANDARD.values():
        assert shipped in text
        text = text.replace(shipped, asked)
    path = tmp_path / "standard.yaml"
    path.write_text(text, encoding="utf-8")
    _, made = contoso
    found = {rule.id: rule.statuses for rule in made.judged_again(inputs.read(path)).rules}
    for rule in BY_ANOTHER_STANDARD:
        assert found[rule][Status.FAIL] > 0, rule
        assert found[rule][Status.PASS] > 0, rule


def test_no_request_but_reads(contoso: tuple[Estate, Audited]) -> None:
    _, made = contoso
    kinds = {(r.method, r.path.rsplit("/", 2)[-1 if r.path.endswith("resources") else 1] if r.method == "POST" else "")
             for r in made.log}  # fmt: skip
    assert kinds == {("GET", ""), ("POST", "resources"), ("POST", "latest")}


def random_differences(seed: int, tree: dict[str, Any], folder: Path) -> list[str]:
    """Audit an estate with restore tests and runbooks drawn for it; give what the oracle says otherwise."""
    estate = Estate.from_dict(tree, AS_OF)
    random_evidence(seed, folder, AS_OF)
    given = default_inputs()
    made = audit(estate, folder / "store", given=replace(given, evidence=evidence.read(given.standard, folder)))
    return differences(made, oracle.verdicts(estate, folder / "evidence"))


@pytest.mark.slow
@settings(AUDITS, max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_random_estates_give_what_the_oracle_gives(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    assert random_differences(seed, random_estate(seed), tmp_path_factory.mktemp("store")) == [], f"seed {seed}"


@pytest.mark.slow
@settings(AUDITS, max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_many_random_estates_give_what_the_oracle_gives(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    tree = random_estate(seed, machines=60, snapshots=40)
    assert random_differences(seed, tree, tmp_path_factory.mktemp("store")) == [], f"seed {seed}"
