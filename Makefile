# The course's few commands. Everything lives in .venv; remove that folder to start over.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help course lab test test-slow notebooks check-notebooks benchmark lint lock setup clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(READY)

setup: $(READY)  ## create the environment in .venv

course: $(READY)  ## set everything up, run the whole course on embedded data, print the result table
	$(BIN)/rcnn course

lab: $(READY)  ## open the course in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

test: $(READY)  ## set everything up and run the tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)  ## run the tests that take longer
	$(BIN)/python -m pytest -m slow

notebooks: $(READY)  ## generate the notebooks from their sources and execute them (laptop profile)
	$(BIN)/python -m rcnn_helpers.course.notebooks --write

check-notebooks: $(READY)  ## fail if a notebook is older than its source; execute all on the smoke profile
	RCNN_PROFILE=smoke $(BIN)/python -m rcnn_helpers.course.notebooks --check

benchmark: $(READY)  ## time every stage beside its peer
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

lint: $(READY)  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lock: $(READY)  ## refresh requirements.lock from the ranges in pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:  ## remove the environment
	rm -rf $(VENV) .venv-benchmark
