# Two commands: `make demo` (a photo becomes a mesh) and `make test`. Both start with `make setup`.
# Everything lands in .venv and node_modules; nothing else on the machine changes, except the
# Debian libraries open3d loads, which are installed when they are missing and may be installed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?= data/dahlia.jpg
CLIENTS := .venv-clients
# `make test-clients` draws its assets from these pictures, with these flags; ASSETS=FOLDER checks
# what is already in a folder; RECORD=PAGE.md writes the table of results.
PICTURES ?= data/vase.png data/crate.png data/robot.png data/rocket.jpg data/dahlia.jpg
CLIENT_FLAGS ?= --preset game
ASSETS ?=
RECORD ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUTF8 := 1

.PHONY: help setup setup-clients demo test test-clients test-page lint format clean

help:
	@echo "make demo    photo -> mesh on a real photograph; prints the GLB, the preview and the time"
	@echo "make test    the whole test-suite with ruff and mypy"
	@echo "make test-clients  Blender, three.js and the Khronos validator read the files (1.3 GB of clients)"
	@echo "make test-page     the local page in headless Chromium, with axe-core (the same clients)"
	@echo "make setup   only install what both need into $(VENV)"
	@echo "make clean   remove outputs, caches, $(VENV) and $(CLIENTS)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup.sh
	@touch $@

demo: setup
	@$(BIN)/img2mesh run "$(PHOTO)" --output-dir outputs

# Lint and types run beside the tests; whichever fails, fails the whole, and says so last.
test: setup
	@$(MAKE) --no-print-directory lint & lint=$$!; \
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal; tests=$$?; \
	wait $$lint || { echo "make lint failed: see above" >&2; exit 1; }; \
	exit $$tests

setup-clients: $(CLIENTS)/.ready

$(CLIENTS)/.ready: scripts/setup_clients.sh tests/clients/requirements.txt tests/clients/package.json
	@PYTHON="$(PYTHON)" CLIENTS="$(CLIENTS)" sh scripts/setup_clients.sh
	@touch $@

test-clients: setup setup-clients
ifeq ($(ASSETS),)
	@$(BIN)/img2mesh run $(PICTURES) $(CLIENT_FLAGS) --format glb,obj,usdz -o outputs/clients --quiet
endif
	@$(BIN)/python -m pytest tests/clients --assets "$(or $(ASSETS),outputs/clients)" \
		$(if $(RECORD),--record "$(RECORD)")

test-page: setup setup-clients
	@$(BIN)/python -m pytest tests/browser

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf outputs $(VENV) $(CLIENTS) node_modules .pytest_cache .mypy_cache .ruff_cache
