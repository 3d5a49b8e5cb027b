# Each target does all of its own set-up, and is quick the second time. On Debian and Ubuntu missing system packages
# are installed where root or sudo is at hand; elsewhere one line says what to install.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STORE  ?= audits

.PHONY: demo test check bench docs samples clean
.DEFAULT_GOAL := demo

$(VENV)/.demo: pyproject.toml .ci/system-packages
	.ci/system-packages venv pdf
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml .ci/system-packages
	.ci/system-packages venv pdf poppler chromium
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(VENV)/.demo $@

# Microsoft's own KQL parser, for one test; without node that test is skipped and says so.
build/kusto/.done:
	@mkdir -p build/kusto
	@if command -v npm >/dev/null; then \
	    npm install --silent --no-audit --no-fund --prefix build/kusto @kusto/language-service-next@12.4.1; fi
	@touch $@

demo: $(VENV)/.demo  ## the whole job against a pretend Azure
	$(VENV)/bin/auditor demo --store $(STORE)

test: check build/kusto/.done  ## everything that CI runs
	$(PYTHON) -m pytest -n 2 --dist loadfile -m 'not benchmark'

check: $(VENV)/.dev  ## lint, types, layers, generated pages, rules
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m docs.generate --check
	$(VENV)/bin/auditor rules lint

bench: $(VENV)/.dev  ## measures; asserts nothing about speed
	$(PYTHON) -m pytest -m benchmark -s tests/benchmarks

docs: $(VENV)/.dev  ## rewrite the generated pages
	$(PYTHON) -m docs.generate

samples: $(VENV)/.dev  ## rewrite the sample reports from contoso at a fixed moment
	$(PYTHON) -m docs.sample_reports

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
