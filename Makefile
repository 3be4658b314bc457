# `make demo` and `make test` set up .venv first. `make TORCH_INDEX=https://... demo` takes torch from another index.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: demo test lint clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --index-url $(TORCH_INDEX) torch torchvision)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/ready
	mlflow run . --env-manager local -e sweep -P study=demo
	mlflow run . --env-manager local -e promote
	mlflow run . --env-manager local -e ensemble
	@echo
	@echo "Now look at it: $(VENV)/bin/mlflow ui   (http://127.0.0.1:5000)"

test: $(VENV)/ready lint
	python -m pytest

lint: $(VENV)/ready
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks
	mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
