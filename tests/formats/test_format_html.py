"""report.html as bytes; what it does in a browser is in tests/browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from auditor.report import formats, view
from tests.formats import sample

KINDS = ("nasty", "clean", "unknown", "incomplete", "empty")


class _Page(HTMLParser):
    """Collects what matters: tags with attributes, ids, the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.inside: list[str] = []
        self.content: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.content:
            self.inside.append(tag)
            self.content[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.content[self.inside[-1]][-1] += data
        else:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def _html(kind: str = "nasty", machines: int = 48) -> str:
    return formats.find("html").render(view.build(sample.results(machines, kind=kind))).decode("utf-8")


def _data(text: str) -> dict[str, Any]:
    packed = re.search(r'id="data">([A-Za-z0-9+/=]*)<', text)
    assert packed
    loaded: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    return loaded


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_allows_exactly_the_one_script_and_the_one_style(kind: str) -> None:
    text = _html(kind)
    page = _Page(text)
    policy = next(a["content"] or "" for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    data, script = page.content["script"]
    assert len(page.content["style"]) == 1
    for kind_of, content in (("script", script), ("style", page.content["style"][0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind_of}-src 'sha256-{digest}'" in policy
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", data)


def test_nothing_is_loaded_from_anywhere() -> None:
    page = _Page(_html())
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base"}
        assert "src" not in attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "a":
            assert (attributes["href"] or "").startswith("#")


def test_hostile_names_stay_text() -> None:
    page = _Page(_html("unknown"))
    assert len([1 for tag, _ in page.tags if tag == "script"]) == 2
    assert not [1 for tag, _ in page.tags if tag in {"b", "img"}]
    assert "app'01\"<script>alert(1)</script>" in page.text
    assert "[U+202E]" in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_the_data_hold_every_finding_and_every_vm() -> None:
    made = sample.results()
    data = _data(formats.find("html").render(view.build(made)).decode())
    assert len(data["findings"]["serial"]) == len(made.findings)
    assert len(data["machines"]["verdicts"]) == len(made.machines)
    assert {len(column) for column in data["findings"].values()} == {len(made.findings)}
    names = data["resources"]["name"]
    assert set(sample.HOSTILE_NAMES) <= set(names)


def test_a_resource_s_id_can_be_put_together_again() -> None:
    made = sample.results()
    data = _data(formats.find("html").render(view.build(made)).decode())
    resources, heads = data["resources"], data["heads"]
    for row in made.findings:
        number = data["findings"]["resource"][data["findings"]["serial"].index(row.serial)]
        tail = resources["tail"][number]
        tail = resources["name"][number].lower() if tail == 0 else tail
        assert heads[resources["head"][number]] + tail == row.resource_id


def test_without_scripts_the_worst_findings_are_a_table() -> None:
    report = view.build(sample.results())
    text = _html()
    block = re.search(r"<noscript>(.*?)</noscript>", text, re.DOTALL)
    assert block
    assert block[1].count("<tr>") == 1 + min(100, report.told)


def test_every_chart_has_a_title_a_description_and_its_numbers() -> None:
    text = _html()
    charts = re.findall(r"<svg[^>]*class=\"chart\".*?</svg>", text, re.DOTALL)
    assert len(charts) == 10
    assert all("<title" in chart and "<desc" in chart and 'role="img"' in chart for chart in charts)
    assert text.count('<table class="chart-data">') == 10


def test_it_says_in_conformity_and_never_compliant() -> None:
    text = _Page(_html("clean")).text
    assert "in conformity with standard hybrid 1.0.0 as at 2026-11-22 06:00 UTC" in text
    assert not re.search(r"compliant", text, re.IGNORECASE)


def test_what_no_rule_tested_is_named_and_conformity_is_not_claimed() -> None:
    page = _Page(_html())
    assert "pass the 16 rules of this run as at 2026-11-22 06:00 UTC" in page.text
    assert "2 demands of the standard are not tested by this run." in page.text
    assert "yearly retention restore tests <&>" in page.text
    assert "in conformity" not in page.text
    assert any(attributes.get("id") == "untested" for _, attributes in page.tags)


def test_subscriptions_of_one_name_are_told_apart_and_chosen_by_id() -> None:
    made = sample.results()
    one, two, *rest = made.subscriptions
    twin = replace(two, name=one.name)
    rows = tuple(
        replace(row, subscription_name=one.name) if row.subscription_id == two.subscription_id else row
        for row in made.findings
    )
    text = formats.find("html").render(view.build(replace(made, subscriptions=(one, twin, *rest), findings=rows)))
    select = re.search(r'id="subscription">(.*?)</select>', text.decode(), re.DOTALL)
    assert select
    options = dict(re.findall(r'<option value="([^"]+)">([^<]*)</option>', select[1]))
    assert options[one.subscription_id] == "sub-prod (00000001)"
    assert options[two.subscription_id] == "sub-prod (00000002)"
    assert options[rest[0].subscription_id] == rest[0].name
    assert dict(_data(text.decode())["subscriptions"])[two.subscription_id] == "sub-prod (00000002)"


def test_an_expired_waiver_is_said_to_have_ended() -> None:
    made = sample.results()
    waiver = {"id": "W-1", "approver": "x", "expires_on": "2026-10-31", "expired": True}
    rows = (replace(made.findings[0], waiver=waiver), *made.findings[1:])
    text = formats.find("html").render(view.build(replace(made, findings=rows))).decode()
    assert "waiver W-1 ended 2026-10-31; approved by: x" in _data(text)["strings"]
    assert "expired, until" not in text
    assert "ended 2026-10-31" in _Page(text).text


def test_zero_findings_still_show_what_was_looked_at() -> None:
    text = _Page(_html("clean")).text
    assert "There are no findings." in text
    assert "Rows received, against the totals that Azure stated" in text
    assert "46 of 46 VMs judged" in text


@pytest.mark.parametrize(
    ("kind", "banner"), [("unknown", "INCOMPLETE"), ("incomplete", "INCOMPLETE"), ("clean", "COMPLETE")]
)
def test_the_banner_says_whether_everything_was_read(kind: str, banner: str) -> None:
    assert f"Evidence: {banner} " in _Page(_html(kind)).text
