# Bare `make` explains. Everything installs what it needs; the second time it is quick.
PY := .venv/bin/python
PACKAGES := clang llvm gcc libc6-dev libbpf-dev libelf-dev zlib1g-dev
TEST_PACKAGES := qemu-system-x86 busybox-static kmod cpio xz-utils gzip runc openssl prometheus rsyslog rsyslog-openssl
C_FILES = $(shell git ls-files 'bpf/*.[ch]' 'src/lictor/kernel/binding/*.[ch]' 'bench/*.c' 'tests/kernel/bpf/*.c')
export DEBIAN_FRONTEND := noninteractive

.PHONY: help setup build run test lint bench prove clean
help:
	@echo 'make run    set everything up and watch every process of this machine (root; ARGS="-o json" …)'
	@echo 'make test   set everything up and run all tests, those in VMs included'
	@echo 'make lint   ruff, mypy --strict, import layers, clang-format, generated files, arm64 build'
	@echo 'make bench  what Lictor costs, in VMs that count instructions, and a minute of exec storm here (root)'
	@echo 'make prove  proofs that take longer than tests may; their last results are in docs/proofs.md (root)'
	@echo 'make setup  packages and virtualenv only'
	@echo 'make build  BPF objects and binding only'
	@echo 'make clean  remove what was built'

setup: .venv/.ready

# Debian splits its python: a venv needs ensurepip, the binding needs Python.h. Another python3 brings both.
.venv/.ready: pyproject.toml setup.py src/lictor/kernel/build_libbpf.py $(wildcard src/lictor/kernel/binding/*) tools/packages.sh
	@sh tools/packages.sh $(PACKAGES)
	@test -x $(PY) || python3 -m venv .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Compiled here, because not everybody lets Python write what it compiles (PYTHONDONTWRITEBYTECODE): half of a start.
build: .venv/.ready
	@$(PY) tools/build_bpf.py >/dev/null
	@$(PY) -m compileall -q src

run: build
	@exec .venv/bin/lictor run $(ARGS)

test: build
	@sh tools/packages.sh $(TEST_PACKAGES)
	@$(PY) tools/vm.py setup
	@$(PY) -m pytest $(ARGS)

bench: build
	@sh tools/packages.sh $(TEST_PACKAGES)
	@$(PY) tools/vm.py setup
	@$(PY) bench/run.py $(ARGS)
	@$(PY) bench/soak.py
	@$(PY) bench/enforcement.py
	@$(PY) bench/compiling.py

prove: build
	@sh tools/packages.sh $(TEST_PACKAGES)
	@$(PY) tools/vm.py setup
	@$(PY) tools/prove.py $(ARGS)

lint: build
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/clang-format --dry-run -Werror $(C_FILES)
	$(PY) tools/gen_protos.py --check
	$(PY) tools/gen_reference.py --check
	$(PY) tools/gen_syscalls.py --check
	$(PY) tools/build_bpf.py --arch arm64

clean:
	rm -rf .venv build dist src/lictor/kernel/objects src/lictor/kernel/_libbpf*.so src/lictor/kernel/_libbpf*.c
