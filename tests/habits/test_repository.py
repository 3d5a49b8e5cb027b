"""The repository's promises about itself."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from auditor import config, rulebook, standard
from auditor.report import formats

ROOT = Path(__file__).resolve().parents[2]


def test_rule_ids_are_unique_and_lie_in_known_areas() -> None:
    book = rulebook.read()
    assert {rule.area for rule in book.rules} <= set(rulebook.AREAS)
    assert len({rule.id for rule in book.rules}) == len(book.rules) >= 11


def test_every_rule_is_explained_by_rules_of_the_catalogue() -> None:
    planned = {"retention-frequency-below-standard"}
    known = {rule.id for rule in rulebook.read().rules} | planned
    for rule in rulebook.read().rules:
        assert set(rule.file.explained_by) <= known, rule.id


def test_the_samples_are_sound() -> None:
    given = config.read(ROOT / "samples" / "auditor.yaml")
    waivers = standard.read_waivers(Path(str(given["waivers"])), standard.read(standard.default_path()))
    assert [waiver.id for waiver in waivers] == ["W-2026-014", "W-2026-009"]
    standard.unknown_rules(waivers, Path("waivers.yaml"), {rule.id for rule in rulebook.read().rules})
    assert set(given["report"]) <= set(formats.discover())


def test_commented_keys_of_the_sample_configuration_exist() -> None:
    text = (ROOT / "samples" / "auditor.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"^# (\w+):", text, flags=re.MULTILINE))
    assert named
    assert named <= set(config.Config.model_fields)


def scripts_of(tree: object) -> list[str]:
    """Give the shell scripts of a pipeline, at any depth."""
    if isinstance(tree, list):
        return [script for item in tree for script in scripts_of(item)]
    if not isinstance(tree, dict):
        return []
    own = [value for key, value in tree.items() if key in {"run", "inlineScript", "script"}]
    return [*own, *(script for value in tree.values() for script in scripts_of(value))]


@pytest.mark.parametrize("path", sorted((ROOT / "samples" / "pipelines").glob("*.yml")), ids=lambda p: p.name)
def test_sample_pipelines_call_commands_that_exist(path: Path) -> None:
    scripts = scripts_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    lines = (line for script in scripts for line in script.replace("\\\n", " ").splitlines())
    commands = [line for line in lines if line.startswith("auditor ")]
    assert commands
    for command in commands:
        words = command.split()
        shown = subprocess.run(
            [sys.executable, "-m", "auditor", words[1], "--help"], capture_output=True, text=True, check=True
        ).stdout
        for flag in (word for word in words if word.startswith("-")):
            assert flag in shown, f"{command}: {flag}"


def test_ci_runs_the_command_that_the_readme_names() -> None:
    assert "exec make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_in_the_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "rules" / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_a_wheel_carries_rules_templates_and_estates(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "auditor/_assets/rules/protection/vm-unprotected.yaml",
        "auditor/_assets/rules/standards/hybrid.yaml",
        "auditor/_assets/rules/messages.yaml",
        "auditor/_assets/report_templates/report.html",
        "auditor/_assets/samples/estates/contoso.yaml",
        "auditor/_assets/samples/waivers.yaml",
        "auditor/engine/functions.txt",
        "auditor/engine/query.sql",
        "auditor/inventory/views/machines.sql",
        "auditor/inventory/tables/vm.kql",
    ):
        assert wanted in names
    # The installed wheel, away from the checkout, does the same job.
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
    )
    listed = subprocess.run(
        [sys.executable, "-c", ("import sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['auditor', 'rules', 'list'];"
         "import auditor; assert auditor.__file__.startswith(sys.path[0]), auditor.__file__;"
         "from auditor.cli import main; main()"), str(target)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "vm-unprotected" in listed.stdout
