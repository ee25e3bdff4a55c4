# make help lists the targets. Each sets up .venv itself, once.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

search: .venv/ready ## find the best hyper-parameters on the embedded pages
	$(BIN)/python -m docclf.train -m hparams_search=optuna
	@echo "Type these commands after: . .venv/bin/activate"

test: .venv/dev ## the tests, offline, a few minutes
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-slow: .venv/dev ## the longest tests: many kills, whole searches, fuzzed inputs; about an hour
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow

test-oldest: ## the tests with the oldest releases that pyproject.toml allows, in .venv-oldest
	$(PYTHON) -m venv .venv-oldest
	sed -nE '/^\[project.opt/q; s/^    "([a-z0-9-]+)>=([^",]+).*/\1==\2/p' pyproject.toml > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-oldest/oldest.txt -e '.[dev]'
	.venv-oldest/bin/python -m pytest -n auto --dist loadfile -m "not slow" -W default

test-newest: ## the tests with the newest releases, on the Python of PYTHON=python3.13, in .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	.venv-newest/bin/python -m pytest -n auto --dist loadfile -m "not slow" -W default

check: .venv/dev docs ## style, types, spelling and documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

docs: .venv/dev ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean: ## remove what was made here: environment, drawn pages, results
	rm -rf .venv .venv-oldest .venv-newest data multirun outputs site

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.PHONY: help search test test-slow test-oldest test-newest check docs clean
