# What one does with a checkout. `make help` lists it. Needs Python 3.11 or newer, make and a C compiler; everything else comes with pip.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PROTOS := $(wildcard protos/trackedlinks/v1/*.proto)
STUBS  := protos/trackedlinks/v1/.stubs
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
.PHONY: run serve front test check fix bench soak chaos corpus urls pages stable stubs clean help
.DELETE_ON_ERROR:

run: $(VENV)/.run $(STUBS) ## start the gRPC server (127.0.0.1:50051) and the front door (127.0.0.1:8080); ^C stops both
	@$(MAKE) --no-print-directory -j2 serve front

serve: $(VENV)/.run $(STUBS) ## start the gRPC server alone
	@exec $(BIN)/python -m server

front: $(VENV)/.run $(STUBS) ## start the front door alone
	@exec $(BIN)/python -m redirect

test: $(VENV)/.dev $(STUBS) ## run every test: real SQLite files, a real PostgreSQL, real servers
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

check: $(VENV)/.dev $(STUBS) ## lint, format, types, who may import whom, the contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --against protos/stable.json
	@$(BIN)/buf build --exclude-source-info -o protos/.now.json && cmp protos/.now.json protos/stable.json \
	  && rm protos/.now.json || { rm -f protos/.now.json; echo "protos/stable.json is stale: make stable"; exit 1; }
	@out=$$($(BIN)/lint-imports --no-cache) || { echo "$$out"; exit 1; }
	@$(BIN)/mypy

fix: $(VENV)/.dev ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/buf format --write

bench: $(VENV)/.dev $(STUBS) ## measure, as ratios within one run: make bench QUICK=1 in two minutes
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(CLICKS),--clicks $(CLICKS))

soak: $(VENV)/.dev $(STUBS) ## kill server and front door under load, with an oracle outside: make soak KILLS=500; or mixed load: make soak HOURS=1 BOTH=1
	@$(BIN)/python -m tests.soak $(if $(HOURS),--hours $(HOURS),$(if $(MINUTES),--minutes $(MINUTES),--kills $(or $(KILLS),500))) \
	  $(if $(BOTH),--both) $(if $(RATE),--rate $(RATE)) $(if $(CONTROL),--control) $(if $(FRONT_KILLS),--front-kills $(FRONT_KILLS)) $(if $(SEED),--seed $(SEED))

chaos: $(VENV)/.dev $(STUBS) ## cut power, fill disks, kill and cut off, with an oracle outside: make chaos COUNT=10 SECONDS=10 ONLY="kill-front"; needs fuse3, slowhttptest
	@$(BIN)/python -m tests.chaos $(if $(ONLY),--only $(ONLY)) $(if $(COUNT),--count $(COUNT)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

corpus: $(VENV)/.dev $(STUBS) ## check how a folder of mails is tracked, in Chromium too: make corpus CORPUS=folder
	@test -n "$(CORPUS)" || { echo "say which folder: make corpus CORPUS=folder"; exit 2; }
	@$(BIN)/python -m tests.corpus "$(CORPUS)"

urls: $(VENV)/.dev $(STUBS) ## mint URLs, no two alike and none valid with a flipped bit: make urls COUNT=10000000
	@$(BIN)/python -m tests.many_urls --count $(or $(COUNT),10000000) $(if $(SEED),--seed $(SEED))

pages: $(VENV)/.dev $(STUBS) ## look at the pages of recipients with Chromium: axe-core, keyboard, widths; pictures in var/pages/
	@$(BIN)/python -m pytest -n 2 --dist worksteal tests/pages

stable: $(VENV)/.dev ## accept the contract as it stands, if it breaks nobody
	@test ! -f protos/stable.json || $(BIN)/buf breaking --against protos/stable.json
	@$(BIN)/buf build --exclude-source-info -o protos/stable.json

stubs: $(STUBS) ## make the gRPC stubs beside the .proto files

$(STUBS): $(PROTOS) | $(VENV)/.run
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=protos --grpc_python_out=protos --mypy_out=quiet:protos --mypy_grpc_out=quiet:protos $(PROTOS)
	@touch $@

$(VENV)/bin/python:
	@echo "making $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing what the servers need (once)"
	@$(PIP) install -c constraints.txt -e '.[run]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.run
	@echo "installing what the tests need (once)"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

clean: ## remove what make made, but not var/
	@rm -rf $(VENV) $(STUBS) build dist protos/trackedlinks/v1/*_pb2*.py protos/trackedlinks/v1/*_pb2*.pyi

help: ## list this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
