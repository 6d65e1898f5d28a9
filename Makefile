# The front door. Every target sets up .venv first, from nothing but git, make and a Python.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEVICE ?= cpu

.PHONY: help play test lint bench doctest format clean

help:
	@echo "make play     which distribution is least surprised by the bundled data? (writes pictures to play/)"
	@echo "make test     all tests, doctests of the public API and the README among them"
	@echo "make doctest  only the doctests"
	@echo "make lint     format, rules, types, layers"
	@echo "make bench    all benchmarks (DEVICE=cpu, gpu or tpu), written to benchmarks/results/"
	@echo "make format   apply the formatter"

play: $(STAMP)
	@$(BIN)/surprax examples --out play

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=loadgroup

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

clean:
	rm -rf $(VENV) play .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# uv where there is one, else venv and pip with the first Python that is new enough (name another with make PYTHON=...).
$(STAMP): pyproject.toml constraints.txt setup.sh
	@PYTHON="$(PYTHON)" sh setup.sh $(VENV)
	@touch $(STAMP)
