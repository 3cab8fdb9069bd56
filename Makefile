# Everything that is done in this repository. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# uv may stand in .venv-tools when the system's Python lets nobody install (see tools/install.sh).
UV = $(shell for uv in uv .venv-tools/bin/uv $(HOME)/.local/bin/uv; do $$uv --version >/dev/null 2>&1 && echo $$uv && break; done)
RUN = $(UV) run --no-sync
# Hundreds of processes start: without the compiled form of what they import, each would compile all of it.
unexport PYTHONDONTWRITEBYTECODE
# Thousands of small databases and queues: in memory where there is room, for a busy disk fails what waits for it.
export PYTEST_DEBUG_TEMPROOT ?= $(shell [ "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] 2>/dev/null && echo /dev/shm)
# Most of the time tests wait for processes: four workers keep two cores busy. Those on one stack go to one worker.
PYTEST = $(RUN) pytest -n 4 --no-loadscope-reorder
SERVICES := gateway llm npu rag memory accounts browser
EXPORT = $(UV) export --frozen --quiet --format requirements-txt --no-emit-workspace --no-header --no-annotate
# Further words for the command behind a target: make up ARGS=--detach
ARGS ?=

.PHONY: help install up down dev test chaos soak manuals llamacpp fuzz check lint format types bench lock schemas

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## install what is missing; quick when nothing is
	@tools/install.sh

up: install ## start everything, e.g. make up ARGS=--detach
	@exec .venv/bin/parley up $(ARGS)

down: ## stop everything
	@exec .venv/bin/parley down $(ARGS)

dev: install ## start everything and restart what is edited
	@exec .venv/bin/parley up --reload $(ARGS)

test: install ## run the tests
	$(PYTEST) $(ARGS)

chaos: install ## kill every process under load, and let a fault meet every operation of a turn, at full size
	PARLEY_CHAOS=full $(PYTEST) tests/protocol
	PARLEY_CHAOS=full $(RUN) pytest tests/chaos -m "chaos and not soak" --timeout 1800 -s $(ARGS)

soak: install ## moderate load for ten minutes: nothing may grow
	PARLEY_CHAOS=full $(RUN) pytest tests/chaos -m soak --timeout 1800 -s $(ARGS)

manuals: install ## twenty questions on manuals of Debian packages: the right file and page
	PARLEY_MANUALS=full $(RUN) pytest tests/integration/manuals -s $(ARGS)

# A virtual environment of its own, for it is compiled: about 20 minutes on two cores, once.
LLAMACPP ?= data/llamacpp

llamacpp: install ## build llama.cpp's server, once, and have it answer through a gateway
	test -x $(LLAMACPP)/bin/python || .venv/bin/python -m venv $(LLAMACPP)
	$(LLAMACPP)/bin/python -c "import llama_cpp.server" 2>/dev/null || \
	    CMAKE_ARGS="-DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF" nice -n 15 $(LLAMACPP)/bin/python -m pip install "llama-cpp-python[server]==0.3.36"
	PARLEY_LLAMACPP=$(LLAMACPP) $(RUN) pytest tests/integration/test_llama_cpp.py $(ARGS)

# Cases of each kind; for each operation of the API a twelfth, for each channel of the bus a tenth.
FUZZ_CASES ?= 2400

fuzz: install ## requests, WebSocket frames and bus messages of every kind; says how many
	PARLEY_FUZZ_CASES=$(FUZZ_CASES) $(RUN) pytest --timeout 3600 -s tests/unit/gateway/test_socket_fuzz.py \
	    tests/unit/gateway/test_request_fuzz.py tests/integration/test_api_description.py \
	    tests/integration/test_bus_fuzz.py $(ARGS)

check: install lint types ## what CI runs: lint, types, requirements, tests
	$(RUN) python tools/requirements_fresh.py
	$(PYTEST) $(ARGS)

lint: install ## ruff, without changing anything
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: install ## ruff, with its fixes
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

types: install ## pyright, strict
	$(RUN) pyright

bench: install ## measure, beside LiteLLM and Chainlit; ARGS=--quick is shorter
	$(RUN) python -m benchmarks.run $(ARGS)

schemas: install ## write libs/contracts/schemas from the models
	$(RUN) python -m parley_contracts.schemas

lock: ## resolve again and write requirements/*.txt
	$(UV) lock
	$(EXPORT) --all-packages --output-file requirements/dev.txt >/dev/null
	for service in $(SERVICES); do \
	    $(EXPORT) --package parley-$$service --no-dev --output-file requirements/$$service.txt >/dev/null || exit 1; \
	done
