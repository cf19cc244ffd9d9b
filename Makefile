# make demo    the whole study on a phantom cohort, from nothing to a report
# make test    all checks: make lint, then every test but those on a cluster
# make lint    linters, formatters and type checks alone
# make test-unit   the library's tests alone, without runs of the workflow
# make setup   the virtual environment alone (.venv)
# make setup REQUIREMENTS=envs/v100.txt   the same for V100 cards; envs/gpu.txt for newer ones; envs/figures.txt for figures alone
# make watch   what of the latest run is done, runs, waits, failed; how long trainings still take
# make resume  on a cluster, after the run itself was killed: end what it left in SLURM, then go on. ARGS="--configfile my_study.yaml"
# make test-slurm   the workflow on a SLURM cluster of its own on this machine (installs Debian's packages)
# make docs    docs/configuration.md from the schema, docs/gallery.md from its pictures
# make site    the docs site with the API reference, in site/; opens from disk
# make lock    pin the requirements anew (needs uv)

PYTHON ?= python3
REQUIREMENTS ?= envs/requirements.txt
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --require-hashes

.PHONY: help setup demo watch resume lint test test-unit test-slurm docs site lock
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

setup: .venv/.run

demo: .venv/.run
	@echo "demo: a phantom cohort, three network topologies in three folds, their ensembles, tables and figures"
	@$(BIN)/snakemake --profile profiles/demo
	@test results/demo/report.zip -nt results/demo/report/results.html || \
		$(BIN)/snakemake --profile profiles/demo --report results/demo/report.zip
	@echo "demo: done. Open results/demo/report/results.html (tables and figures on one page);"
	@echo "      results/demo/report.zip holds the same with every job's provenance (unpack it, open report.html)."

watch: .venv/.run
	@$(BIN)/python -m lumbarseg watch

resume: .venv/.run
	@$(BIN)/python -m lumbarseg clear
	@$(BIN)/snakemake --profile slurm $(ARGS) --unlock --quiet all
	$(BIN)/snakemake --profile slurm $(ARGS)

lint: .venv/.tests
	@echo "lint: ruff, snakefmt, mypy, snakemake --lint"
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile profiles/demo/study.yaml

test: lint
	@echo "test: pytest"
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/slurm
	@echo "test: all checks passed"

test-unit: .venv/.tests
	$(BIN)/pytest -n 2 --dist loadfile tests/unit

test-slurm: .venv/.tests
	@tests/slurm/install.sh
	$(BIN)/python tests/slurm/cluster.py $(BIN)/pytest tests/slurm -n 4 --dist worksteal

# A stamp a requirement file: nothing is installed again unless the file changes.
.venv/.run: $(REQUIREMENTS) | .venv/bin/python
	@echo "setup: installing the workflow's packages ($(REQUIREMENTS)) into .venv"
	@$(INSTALL) -r $(REQUIREMENTS)
	@# pip compiles on one core; this takes all. Some packages carry files of other Python versions, which may fail.
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@# `python -m lumbarseg` finds the library from anywhere.
	@echo "$(CURDIR)/workflow_scripts" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lumbarseg.pth"
	@touch $@
	@echo "setup: done. To call snakemake yourself: source .venv/bin/activate"

.venv/.tests: envs/tests.txt | .venv/.run
	@echo "setup: installing what the tests need (envs/tests.txt) into .venv"
	@$(INSTALL) -r envs/tests.txt
	@touch $@

# The site needs nothing of the workflow's packages: the API reference is read from the sources.
.venv/.site: envs/docs.txt | .venv/bin/python
	@echo "setup: installing what the docs site is built with (envs/docs.txt) into .venv"
	@$(INSTALL) -r envs/docs.txt
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: expected Python 3.11 or later, found %d.%d; name one: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "setup: making the virtual environment .venv"
	@# Debian's Python comes without the part that puts pip into a new environment; the system's pip fills it then.
	@$(PYTHON) -m venv .venv 2>/dev/null || { \
		rm -rf .venv && $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip; }

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header envs/requirements.in -o envs/requirements.txt
	for name in onnx tests gpu v100 figures; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c envs/requirements.txt \
			envs/$$name.in -o envs/$$name.txt; done
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header -c envs/requirements.txt -c envs/tests.txt \
		envs/docs.in -o envs/docs.txt

docs: .venv/.run
	$(BIN)/python docs/configuration.py
	$(BIN)/python docs/gallery.py

site: .venv/.site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site: done. Open site/index.html"
