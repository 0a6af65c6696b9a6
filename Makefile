# Two commands: `make demo` (a photo becomes a mesh) and `make test`. Both start with `make setup`.
# Everything lands in .venv and node_modules; nothing else on the machine changes, except the
# Debian libraries open3d loads, which are installed when they are missing and may be installed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?= data/dahlia.jpg
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: help setup demo test lint format test-all clean

help:
	@echo "make demo    photo -> mesh on a real photograph; prints the GLB, the preview and the time"
	@echo "make test    the whole test-suite with ruff and mypy"
	@echo "make setup   only install what both need into $(VENV)"
	@echo "make clean   remove outputs, caches and $(VENV)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup.sh
	@touch $@

demo: setup
	@$(BIN)/img2mesh run "$(PHOTO)" --output-dir outputs

test: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf outputs $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache
