# Two commands do everything on a fresh machine: `make run` and `make test`.  Needs python3 (3.11 or newer) and make.

PYTHON ?= python3
PLAIN := .venv
COMPILED := .venv-compiled
NODE := build/node
CONFIG ?= conf/gateway.toml
PIP := -m pip --disable-pip-version-check -qq
# Build environments are made for one build, from the same versions: newer pips want it said of them by name.
PINNED := PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt
SOURCES := $(shell find gateway protocols -name '*.py' -o -path 'gateway/web/*.*' -o -path 'gateway/manual/*.md') pyproject.toml setup.py
# A file's tests stay together, so that they share what they have set up; rooms are taken in their order.
PARALLEL ?= -n logical --dist loadfile --no-loadscope-reorder
COMPILED_TESTS := protocols connectors behaviour interop simulation

SEEDS ?= 1000

.PHONY: install programs run test test-plain test-compiled check bench simulate soak wheel peers clean

# Compiled where a C compiler is found; the command is then $(COMPILED)/bin/gateway.
install: $(COMPILED)/.installed

run: $(COMPILED)/.installed
	@exec $(COMPILED)/bin/gateway run $(CONFIG)

test: test-plain test-compiled

# -- environments

define environment
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { echo "venv is needed (Debian: apt install python3-venv)"; exit 1; }
ls -d $(1)/lib/python3.*/site-packages/pip >/dev/null 2>&1 || $(1)/bin/python -m ensurepip >/dev/null
endef

# Plain: the source tree itself, editable, for tests and for work on it.
$(PLAIN)/.installed: pyproject.toml constraints.txt
	@$(call environment,$(PLAIN))
	@echo "installing into $(PLAIN), with all that tests need"
	@$(PLAIN)/bin/python $(PIP) install -c constraints.txt setuptools wheel
	@GATEWAY_COMPILE=0 $(PLAIN)/bin/python $(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

# Compiled: a wheel, built from a copy so that no extension ever lies in the source tree.  What running needs is fetched
# meanwhile: the first part of compiling is one processor's work.
dist/.wheel: $(SOURCES) constraints.txt
	@$(call environment,$(COMPILED))
	@rm -rf build/source && mkdir -p build/source dist
	@cp -R gateway protocols pyproject.toml setup.py README.md LICENSE build/source/
	@find build/source \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} +
	@rm -f dist/*.whl
	@echo "building the wheel, compiled where a C compiler is found (a few minutes of every processor; build/compile.log)"
	@$(COMPILED)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' >build/needs.txt
	@$(COMPILED)/bin/python $(PIP) install --no-compile -c constraints.txt -r build/needs.txt >build/needs.log 2>&1 & needs=$$!; \
	$(PINNED) $(COMPILED)/bin/python $(PIP) wheel -vvv --no-deps -w dist ./build/source >build/compile.log 2>&1 || { \
	    echo "compiling failed, see build/compile.log"; \
	    test -z "$$CI" || { tail -50 build/compile.log; exit 1; }; \
	    $(PINNED) GATEWAY_COMPILE=0 $(COMPILED)/bin/python $(PIP) wheel --no-deps -w dist ./build/source || exit 1; }; \
	wait $$needs || true
	@case "$$(ls dist/*.whl)" in *none-any*) grep -o -m 1 '[^ ]* not found: .*' build/compile.log || echo "the gateway will run as plain Python, several times slower";; esac
	@touch $@

# What running needs and nothing else: pip goes when its work is done, and bytecode is made of what a start imports.
$(COMPILED)/.installed: dist/.wheel
	@$(call environment,$(COMPILED))
	@echo "installing into $(COMPILED)"
	@$(COMPILED)/bin/python $(PIP) uninstall -y gateway-broker 2>/dev/null
	@$(COMPILED)/bin/python $(PIP) install --no-compile -c constraints.txt "$$(ls dist/*.whl)"
	@$(COMPILED)/bin/python $(PIP) uninstall -y pip setuptools 2>/dev/null
	@$(COMPILED)/bin/python -c 'import gateway.cli.main, gateway.running'
	@touch $@

# What tests need, on top.
$(COMPILED)/.tested: $(COMPILED)/.installed
	@$(call environment,$(COMPILED))
	@echo "installing into $(COMPILED) what tests need"
	@$(COMPILED)/bin/python $(PIP) install -c constraints.txt "$$(ls dist/*.whl)[dev]"
	@touch $@

wheel: dist/.wheel

# Real clients that are no Python packages: installed where that is possible, else the tests say what is missing.
peers: programs $(NODE)/.installed

programs:
	@command -v mosquitto_pub >/dev/null 2>&1 || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	        echo "installing mosquitto-clients"; apt-get update -q >/dev/null 2>&1; \
	        DEBIAN_FRONTEND=noninteractive apt-get install -y -q mosquitto-clients >/dev/null 2>&1 || true; \
	    else echo "mosquitto_pub not found: its tests will be skipped (Debian: apt install mosquitto-clients)"; fi; }
	@command -v certutil >/dev/null 2>&1 || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	        echo "installing libnss3-tools"; apt-get update -q >/dev/null 2>&1; \
	        DEBIAN_FRONTEND=noninteractive apt-get install -y -q libnss3-tools >/dev/null 2>&1 || true; \
	    else echo "certutil not found: its tests will be skipped (Debian: apt install libnss3-tools)"; fi; }
	@command -v chromium >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	        echo "installing chromium, nodejs and npm, as far as they are missing"; apt-get update -q >/dev/null 2>&1; \
	        command -v chromium >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium >/dev/null 2>&1 || true; \
	        command -v npm >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -y -q nodejs npm >/dev/null 2>&1 || true; \
	    else echo "chromium or npm not found: tests in a browser will be skipped (Debian: apt install chromium nodejs npm)"; fi; }

# Clients in JavaScript, exactly as locked.
$(NODE)/.installed: tests/interop/node/package.json tests/interop/node/package-lock.json
	@mkdir -p $(NODE) && cp $^ $(NODE)/
	@if ! command -v npm >/dev/null 2>&1; then \
	    echo "npm not found: the tests with clients in JavaScript will be skipped (Debian: apt install nodejs npm)"; \
	else \
	    echo "installing mqtt.js, stompit, stompjs and ws"; \
	    if (cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1); then touch $@; \
	    else echo "npm ci failed, see $(NODE)/npm.log: the tests with clients in JavaScript will be skipped"; test -z "$$CI"; fi; fi

# -- tests

test-plain: $(PLAIN)/.installed peers
	@echo "== plain"
	@$(PLAIN)/bin/python -m pytest -q $(PARALLEL)

# From a directory of its own: `gateway` and `protocols` must come from the installed wheel.
test-compiled: $(COMPILED)/.tested peers
	@echo "== compiled"
	@rm -rf build/compiled && mkdir -p build/compiled/tests
	@cp pyproject.toml build/compiled/ && cp -R conf build/compiled/
	@for room in $(COMPILED_TESTS); do test ! -d tests/$$room || cp -R tests/$$room build/compiled/tests/; done
	@mkdir build/compiled/tests/store && cp tests/store/power_loss.py build/compiled/tests/store/
	@cp tests/conftest.py tests/test_compiled.py build/compiled/tests/
	@cd build/compiled && GATEWAY_EXPECT=$$(ls ../../dist/*.whl | grep -q none-any && echo plain || echo compiled) ../../$(COMPILED)/bin/python -m pytest -q $(PARALLEL)

check: $(PLAIN)/.installed
	$(PLAIN)/bin/ruff format --check .
	$(PLAIN)/bin/ruff check .
	$(PLAIN)/bin/mypy
	$(PLAIN)/bin/python -m pytest -q tests/test_import_rule.py

# The whole gateway under virtual time, on all processors; of a seed that fails it says how to see it again.
simulate: $(PLAIN)/.installed
	$(PLAIN)/bin/python -m tests.simulation --seeds 1-$(SEEDS) --jobs $$(getconf _NPROCESSORS_ONLN)

soak: $(PLAIN)/.installed
	HYPOTHESIS_PROFILE=soak $(PLAIN)/bin/python -m pytest -q -k "garbage or property or model or machine or random or every or power"
	DAMAGE_ROUNDS=300 $(PLAIN)/bin/python -m pytest -q tests/store/test_random_damage.py
	FAULT_ROUNDS=200 $(PLAIN)/bin/python -m pytest -q tests/fault
	FAULT_SEEDS=2000 $(PLAIN)/bin/python -m pytest -q tests/simulation/test_deliberate.py

# Peers that are installed take part (Debian: mosquitto rabbitmq-server activemq nats-server).
bench: $(PLAIN)/.installed $(COMPILED)/.installed
	$(PLAIN)/bin/python -m tests.perf.bench $(BENCH)
	@test -n "$(BENCH)" || $(PLAIN)/bin/python -m tests.perf.websocket

clean:
	rm -rf $(PLAIN) $(COMPILED) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
