# Two commands are all a fresh machine needs: `make demo` and `make test` (Python >= 3.11 and make).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check fmt test-litellm test-integrations test-models model build bench quality clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "candor-guard needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The demo needs the openai client only; what development needs comes with the first `make test`.
$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[openai]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## Play scripted conversations through the real proxy, offline
	$(BIN)/candor-guard demo

test: $(VENV)/.dev  ## Run the tests with the coverage gate
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(VENV)/.dev  ## Lint, types and the import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.dev  ## Format and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# LiteLLM brings 200 MB and pins of its own, so its adapters are tested in an environment of their
# own. What its proxy imports is named one by one: with the pins of litellm[proxy] pip goes back to an
# older litellm to suit everything else.
LITELLM_PROXY := fastapi backoff pyyaml rq orjson 'apscheduler<4' fastapi-sso pyjwt python-multipart \
	cryptography 'websockets<16' 'mcp>=2.3,<3' gunicorn expression semver tomlkit restrictedpython soundfile

$(VENV)-litellm/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-litellm
	$(VENV)-litellm/bin/python -m pip install --quiet --disable-pip-version-check -e '.[litellm,dev]' $(LITELLM_PROXY)
	@touch $@

test-litellm: $(VENV)-litellm/.ready  ## Test the LiteLLM adapters and the ASGI middleware on FastAPI
	$(VENV)-litellm/bin/python -m pytest tests/upstreams/test_litellm.py tests/upstreams/test_litellm_requests.py tests/integrations/litellm tests/integrations/asgi tests/integrations/test_bad_input.py

$(VENV)-integrations/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-integrations
	$(VENV)-integrations/bin/python -m pip install --quiet --disable-pip-version-check -e '.[langchain,pydantic-ai,dev]' langchain-openai 'pydantic-ai-slim[openai]'
	@touch $@

test-integrations: $(VENV)-integrations/.ready  ## Types and tests of the LangChain and Pydantic AI integrations
	$(VENV)-integrations/bin/mypy $(wildcard src/candor_guard/integrations/langchain/*.py src/candor_guard/integrations/pydantic_ai/*.py tests/integrations/langchain/*.py tests/integrations/pydantic_ai/*.py examples/langchain_*.py examples/pydantic_ai_*.py)
	$(VENV)-integrations/bin/python -m pytest tests/integrations/langchain tests/integrations/pydantic_ai tests/integrations/test_hosted.py tests/integrations/test_bad_input.py tests/docs

# torch first and pinned: a range alone lets pip choose a CUDA build of several gigabytes.
$(VENV)-train/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-train
	$(VENV)-train/bin/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(VENV)-train/bin/python -m pip install --quiet --disable-pip-version-check -e '.[train,dev]'
	@touch $@

model: $(VENV)-train/.ready  ## Train and build the model, 90 minutes on two cores: make model DATA=FOLDER
	@test -n "$(DATA)" || { echo "say where the data is: make model DATA=FOLDER" >&2; exit 2; }
	PATH="$(abspath $(VENV)-train/bin):$$PATH" sh models/runs/encoder.sh $(DATA)

test-models: $(VENV)-train/.ready  ## Test training, export and build on a tiny subset
	$(VENV)-train/bin/python -m pytest tests/models tests/detectors

$(VENV)-bench/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0'
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench,dev]'
	@touch $@

quality: $(VENV)-bench/.ready  ## Score every detector and contender: make quality DATA=FOLDER
	@test -n "$(DATA)" || { echo "say where the data is: make quality DATA=FOLDER" >&2; exit 2; }
	$(VENV)-bench/bin/python -m benchmarks.quality --data $(DATA)

build: $(VENV)/.dev  ## Build wheel and sdist into dist/
	$(BIN)/python -m build --quiet

bench: $(VENV)/.dev  ## Measure what the proxy adds, side by side with a bare pass-through
	$(BIN)/python -m benchmarks.overhead

clean:  ## Remove environments and build products
	rm -rf $(VENV) $(VENV)-litellm $(VENV)-integrations $(VENV)-train $(VENV)-bench dist build
