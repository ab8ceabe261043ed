# Every target sets up its own environment in .venv when it is missing or out of date.
PYTHON ?= python3
STAMP := .venv/.installed
SOURCES := src tests benchmarks run_nerf.py

.PHONY: demo test test-slow lint format types bench clean

demo: $(STAMP) ## fit the built-in blurry scene and write runs/demo/dynamic/report.html
	.venv/bin/sharpfield demo --output runs/demo

test: $(STAMP) ## the fast tests
	.venv/bin/python -m pytest -q

test-slow: $(STAMP) ## the tests that take minutes
	.venv/bin/python -m pytest -q -m slow

lint: $(STAMP)
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)

format: $(STAMP)
	.venv/bin/ruff check --fix $(SOURCES)
	.venv/bin/ruff format $(SOURCES)

types: $(STAMP)
	.venv/bin/mypy
	.venv/bin/mypy --platform win32 src

bench: $(STAMP) ## every number of benchmarks/RESULTS.md and MEMORY.md
	.venv/bin/pip install -q -c constraints.txt -e '.[photoreal]'
	for suite in blur savings ablations adaptive poses toy toy-severe blurball blurball-full; do .venv/bin/sharpfield bench $$suite || exit; done
	.venv/bin/python benchmarks/memory.py

clean: ## the environment and all caches; runs stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
	find $(SOURCES) -type d -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev]'
	touch $@
