from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditor.document import did_you_mean, load, parse
from auditor.errors import DocumentError, Fault

if TYPE_CHECKING:
    from pathlib import Path


def fault(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse(text, "file.yaml")
    return str(caught.value)


def test_values_know_their_lines() -> None:
    document = parse("a: 1\nb:\n  - c: x\n  - d: {e: 2}\n", "file.yaml")
    assert document.data == {"a": 1, "b": [{"c": "x"}, {"d": {"e": 2}}]}
    assert document.line(("b", 1, "d", "e")) == 4
    assert document.line(("b", 0, "absent")) == 3, "an absent key stands where its parent does"


def test_on_no_dates_and_times_stay_text() -> None:
    assert parse("{on: no, day: 2026-01-01, at: 12:30, n: 0777, v: 1.0}", "f").data == {
        "on": "no",
        "day": "2026-01-01",
        "at": "12:30",
        "n": "0777",
        "v": 1.0,
    }


def test_booleans_numbers_and_null_are_read() -> None:
    assert parse("[true, False, null, ~, 1_000, -2, .5, 1e3, '1', \"null\"]", "f").data == [
        True, False, None, None, 1000, -2, 0.5, 1000.0, "1", "null",
    ]  # fmt: skip


def test_merge_keys_and_anchors_work() -> None:
    assert parse("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\n", "f").data["more"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\n", "file.yaml:2: key 'a' is given twice"),
        ("a: [1\n", "file.yaml:2"),
        ("a: 1\n b: 2\n", "file.yaml:2"),
        ("? [x]\n: 1\n", "file.yaml:1: a key must be a single word"),
        ("a: *nowhere\n", "file.yaml:1"),
        ("a: &a [*a]\n", "file.yaml:1"),
        ("a:\n  <<: 5\n", "file.yaml:2: `<<` takes keys from a mapping"),
        ("a: {<<: [{x: 1}, [2]]}\n", "file.yaml:1: `<<` takes keys from a mapping"),
        ("a: 1\nb: " + "9" * 5000, "file.yaml:2: 99999999999999999999… is a number of 5000 digits"),
        ("[" * 100_000, "nesting depth"),
        ("- " * 500, "nested too deeply"),
        ("a: !!python/object:os.system x\nb: \x07", "file.yaml"),
    ],
)
def test_faults_name_file_and_line(text: str, told: str) -> None:
    assert told in fault(text)


def test_a_file_that_is_another_one_does_not_flood_the_screen() -> None:
    said = str(DocumentError([Fault("f.yaml", line, "unknown key") for line in range(1, 301)]))
    assert said.count("unknown key") == 50
    assert said.endswith("… and 250 more")


def test_many_aliases_do_not_explode() -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
    )
    assert "too many" in fault(laughs)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4\n")
    with pytest.raises(DocumentError, match="is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_an_empty_file_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load(tmp_path / "empty.yaml").data is None


def test_did_you_mean_names_the_nearest_or_all() -> None:
    assert did_you_mean("stroe", ["store", "scope"]) == "did you mean 'store'?"
    assert did_you_mean("zzz", ["store", "scope"]) == "known here: scope, store"
