# Every target makes and reuses its own environment in .venv; GNU make 3.81 is enough.
# PYTHON=python3.13 make test   uses another Python (3.11 to 3.13) for a new .venv.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
UNIT := not model and not slow and not wheel and not live and not whole

.PHONY: help demo docs test test-unit test-slow test-live check bench bench-full lint format model

help:
	@echo "demo        compile a small program on the embedded model"
	@echo "test        every test; large counts at 5 % of the full ones; 5 to 6 minutes with installation"
	@echo "test-unit   no model, no installation, no whole commands; about 85 seconds"
	@echo "test-slow   every test at its full count; long"
	@echo "test-live   against the server in OLLAMA_HOST with TUNESMITH_LIVE_MODEL"
	@echo "check       format, lint and types, then test: what CI runs"
	@echo "docs        make a site of the documentation in build/docs; open build/docs/index.html"
	@echo "bench       measure what takes minutes, write the results down, print which goals are met"
	@echo "bench-full  the long measurements too; up to an hour"
	@echo "lint        lint and types alone"
	@echo "format      format and repair what can be repaired"

# uv installs in seconds what takes pip more than a minute. It does not read pip's settings: a place to find links is passed
# on, and pip itself installs if they name an index, constraints or a proxy, or if uv fails or has no wheel for this machine.
# Files are compiled on their first import: most are never imported.
LINKS := sed -n '/find-links=/{s/.*find-links=.\(.*\)./ \1/; s/\\n/ /g; s/  */ --find-links /gp;}'
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON=" >&2; exit 1; }
	$(BIN)/python -c "" 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing into $(VENV)"
	@{ ! $(PIP) config list | grep -qE 'index|constraint|proxy' \
	  && $(PIP) install --quiet --no-compile --only-binary :all: uv 2>/dev/null \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python $$($(PIP) config list | $(LINKS)) -e '.[dev]' 2>/dev/null; } \
	  || $(PIP) install --quiet --no-compile -e '.[dev]'
	@touch $@

model: $(READY)
	$(BIN)/tunesmith models pull embedded

demo: model
	$(BIN)/tunesmith demo
	$(BIN)/tunesmith serve runs/demo/artifact --lm embedded --port 0 --ask comment="The bed was hard."

# The model is slower beside much else, so what runs it runs apart, and each worker runs it on one core. Many of these
# tests wait for other processes, so three workers fill two cores. At full counts two do: there the model is at work.
test: model
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "$(UNIT)"
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not ($(UNIT))"

test-unit: $(READY)
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "$(UNIT)"

test-slow: model
	TUNESMITH_SLOW=1 $(BIN)/python -m pytest -q -n 3 --dist worksteal -m "$(UNIT)"
	TUNESMITH_SLOW=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not ($(UNIT))"

test-live: $(READY)
	$(BIN)/python -m pytest -q -m live

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -c docs . build/docs

bench: model
	$(BIN)/python benchmarks/run.py

bench-full: model
	$(BIN)/python benchmarks/run.py --full
