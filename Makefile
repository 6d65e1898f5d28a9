# The front door. Every target sets up .venv first, from nothing but git, make and a Python.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEVICE ?= cpu

.PHONY: help play test test-all lint bench accuracy docs doctest format clean

help:
	@echo "make play     which distribution is least surprised by the bundled data? (writes pictures to play/)"
	@echo "make test     all tests, doctests of the public API and the README among them"
	@echo "make test-all also those that repeat at length what others try for a few families; all programs compiled as for users"
	@echo "make doctest  only the doctests"
	@echo "make lint     format, rules, types, layers"
	@echo "make bench    all benchmarks (DEVICE=cpu, gpu or tpu), written to benchmarks/results/"
	@echo "make accuracy digits kept in float32 beside NumPyro and SciPy, against mpmath, written to docs/accuracy.md"
	@echo "make docs     the table of families, written to docs/families.md"
	@echo "make format   apply the formatter"

play: $(STAMP)
	@$(BIN)/surprax examples --out play

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadgroup

test-all: $(STAMP)
	SURPRAX_TEST_EFFORT=full $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadgroup -m "thorough or not thorough"

doctest: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses=4 src README.md

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks --device $(DEVICE)

accuracy: $(STAMP)
	$(BIN)/python -m benchmarks.accuracy

docs: $(STAMP)
	$(BIN)/python docs/make_families.py

clean:
	rm -rf $(VENV) play .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# uv where there is one, else venv and pip with the first Python that is new enough (name another with make PYTHON=...).
$(STAMP): pyproject.toml constraints.txt setup.sh
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV)
	@touch $(STAMP)
