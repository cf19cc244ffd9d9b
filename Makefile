# make demo    the whole study on a phantom cohort, from nothing to a report
# make test    all checks: make lint, then every test except those on a cluster
# make lint    linters, formatters, type checks and the order of imports
# make test-unit   the tests of the library, without runs of the workflow
# make setup   the virtual environment (.venv) with the workflow's packages and the command `lumbarseg`
# make setup REQUIREMENTS=envs/v100.txt   the same for V100 cards; envs/gpu.txt for newer ones; envs/figures.txt for figures only
# make watch   progress of the latest run: jobs done, running, waiting and failed; time left for trainings
# make resume  on a cluster, after the run itself was killed: cancel the jobs it left in SLURM, then continue. ARGS="--configfile my_study.yaml"
# make test-slow   the study of real images that takes minutes (images are not part of the project; skipped without them)
# make test-slurm   the tests on a SLURM cluster on this machine (installs Debian packages)
# make docs    docs/configuration.md from the schema, docs/gallery.md from its pictures
# make site    the docs site with the API reference, in site/; opens from disk
# make lock    pin the packages of pyproject.toml to envs/*.txt and envs/*.yaml again (needs uv)

PYTHON ?= python3
REQUIREMENTS ?= envs/requirements.txt
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile
PINNED := $(INSTALL) --require-hashes -r
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
WORKFLOW := pyproject.toml --group build --extra workflow

.PHONY: help setup demo watch resume lint test test-unit test-slurm test-slow docs site lock
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

setup: .venv/.run

demo: .venv/.run
	@echo "demo: a phantom cohort, three network topologies in three folds, their ensembles, tables and figures"
	@$(BIN)/snakemake --profile profiles/demo all new_phantom
	@test results/demo/report.zip -nt results/demo/report/results.html || \
		$(BIN)/snakemake --profile profiles/demo --report results/demo/report.zip
	@echo "demo: a new patient, segmented by the starter networks, which saw other phantoms alone"
	@test results/demo/new_patient/segmented/page.pdf -nt results/demo/new_patient/dicom || \
		$(BIN)/lumbarseg segment --overwrite --t2w results/demo/new_patient/dicom/T2w --t1w results/demo/new_patient/dicom/T1w \
			--output results/demo/new_patient/segmented
	@echo "demo: done. Open"
	@echo "      results/demo/report/results.html: tables and figures of the study on one page;"
	@echo "      results/demo/new_patient/segmented/page.pdf: the new patient;"
	@echo "      results/demo/report.zip: the results with the provenance of every job (unpack it, open report.html)."

watch: .venv/.run
	@$(BIN)/lumbarseg watch

resume: .venv/.run
	@$(BIN)/lumbarseg clear
	@$(BIN)/snakemake --profile slurm $(ARGS) --unlock --quiet all
	$(BIN)/snakemake --profile slurm $(ARGS)

lint: .venv/.tests
	@echo "lint: ruff, snakefmt, mypy, import-linter, snakemake --lint"
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint --configfile profiles/demo/study.yaml

test: lint
	@echo "test: pytest"
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' --ignore tests/slurm
	@echo "test: all checks passed"

test-unit: .venv/.tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/unit

test-slow: .venv/.tests
	$(BIN)/pytest -m slow tests/end_to_end

test-slurm: .venv/.tests
	@tests/slurm/install.sh
	$(BIN)/python tests/slurm/cluster.py $(BIN)/pytest tests/slurm -n 4 --dist worksteal

# The library and its command, editable: built with the pinned setuptools, so nothing is fetched.
.venv/.run: pyproject.toml .venv/.packages
	@$(INSTALL) --no-index --no-build-isolation --no-deps --editable .
	@touch $@
	@echo "setup: done. To call snakemake and lumbarseg: source .venv/bin/activate"

# One stamp for each requirement file: nothing is installed again unless the file changes.
.venv/.packages: $(REQUIREMENTS) | .venv/bin/python
	@echo "setup: installing the workflow's packages ($(REQUIREMENTS)) into .venv"
	@$(PINNED) $(REQUIREMENTS)
	@# pip compiles on one core; this uses all. Some packages have files of other Python versions, which may fail.
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
	@touch $@

.venv/.tests: envs/tests.txt | .venv/.run
	@echo "setup: installing the packages of the tests (envs/tests.txt) into .venv"
	@$(PINNED) envs/tests.txt
	@touch $@

# The site needs none of the workflow's packages: the API reference is read from the sources.
.venv/.site: envs/docs.txt | .venv/bin/python
	@echo "setup: installing the packages of the docs site (envs/docs.txt) into .venv"
	@$(PINNED) envs/docs.txt
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "setup: Python %d.%d cannot be used; name one of 3.11 to 3.13: make PYTHON=python3.11" % sys.version_info[:2])'
	@echo "setup: creating the virtual environment .venv"
	@# Debian's Python comes without the part that puts pip into a new environment; the system's pip does it then.
	@$(PYTHON) -m venv .venv 2>/dev/null || { \
		rm -rf .venv && $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip; }

lock:
	$(LOCK) $(WORKFLOW) -o envs/requirements.txt
	for extra in onnx gpu v100; do \
		$(LOCK) $(WORKFLOW) --extra $$extra -c envs/requirements.txt -o envs/$$extra.txt || exit; done
	$(LOCK) $(WORKFLOW) --extra onnx --group tests -c envs/requirements.txt -o envs/tests.txt
	$(LOCK) --group figures -c envs/requirements.txt -o envs/figures.txt
	$(PYTHON) envs/conda_environments.py
	$(LOCK) --group docs -c envs/requirements.txt -c envs/tests.txt -o envs/docs.txt

docs: .venv/.run
	$(BIN)/python docs/configuration.py
	$(BIN)/python docs/gallery.py

site: .venv/.site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site: done. Open site/index.html"
