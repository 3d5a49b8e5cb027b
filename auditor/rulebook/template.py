"""A new rule to begin with: a file that runs, passes its own tests, and waits to be changed."""

from __future__ import annotations

_RULE = """\
# A rule to begin with; rules/README.md tells how it is meant. `auditor rules test {id} --rules …` runs its tests.
id: {id}
title: Say in a few words what is wrong where this rule fails
severity: medium                                # critical, high, medium, low or info, of an ordinary tier
resource_type: {kind}
rationale: >-
  Say why an auditor cares.
remediation:
  portal: "{{resource_name}}: say where to click"
  az: "az … -n {{resource_name}}"
reads: [{kind}]                                    # the tables in the SQL; docs/tables.md has them all
sql: |
  WITH judged AS (
      -- Decide the reason once; the status follows from it.
      SELECT x.resource_id, x.resource_name,
             CASE
{excluded}                  WHEN x.resource_name IS NULL THEN 'no_name'
                  WHEN starts_with(x.resource_name, 'tmp-') THEN 'unwanted_name'
                  ELSE 'wanted_name' END AS reason
      FROM {kind} x
  )
  SELECT j.resource_id,
         CASE WHEN j.reason = 'unwanted_name' THEN 'fail'
              WHEN j.reason = 'no_name' THEN 'unknown'
{not_applicable}              ELSE 'pass' END AS status,
         j.reason, j.resource_name                -- every further column is evidence
  FROM judged j
messages:
  no_name: {{en: "Azure sent no name", de: "Azure hat keinen Namen geliefert"}}
  unwanted_name: {{en: "{{resource_name}} is a temporary name", de: "{{resource_name}} ist ein Behelfsname"}}
  wanted_name: {{en: "{{resource_name}}", de: "{{resource_name}}"}}
tests:
  - name: a temporary name fails, another passes, without one nobody knows
    given:
      {kind}:
        - {{resource_no: 1, resource_id: /{kind}/a, resource_name: tmp-a}}
        - {{resource_no: 2, resource_id: /{kind}/b, resource_name: b}}
        - {{resource_no: 3, resource_id: /{kind}/c}}
{excluded_row}    expect: {{/{kind}/a: fail, /{kind}/b: pass, /{kind}/c: unknown{excluded_expected}}}
"""


def rule(rule_id: str, kind: str, *, excluding: bool) -> str:
    """Give the text of a rule file.

    Args:
        rule_id: its id.
        kind: what its findings are about, which is also the name of a table.
        excluding: True where that table has resources outside of the population (`excluded_code`).
    """
    when = "                  WHEN x.excluded_code IS NOT NULL THEN x.excluded_code\n"
    status = "              WHEN j.reason NOT IN ('unwanted_name', 'wanted_name') THEN 'not_applicable'\n"
    row = f"        - {{resource_no: 4, resource_id: /{kind}/d, resource_name: tmp-d, excluded_code: managed_rg}}\n"
    return _RULE.format(
        id=rule_id,
        kind=kind,
        excluded=when if excluding else "",
        not_applicable=status if excluding else "",
        excluded_row=row if excluding else "",
        excluded_expected=f", /{kind}/d: not_applicable" if excluding else "",
    )
