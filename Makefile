# make demo    set-up, build, and the main job on the built-in data set: recipe → int8 C on an emulated Cortex-M7
# make test    set-up, build, all tests
# make build   set-up, and the program alone (build/micromind)
# make bench-deploy   docs/benchmarks.md: deployed models on every emulated core; MODELS=FOLDER adds int8 .tflite files
# make bench   every benchmark; make bench-cost, make bench-data … one; BENCH_ARGS goes to it
# make install PREFIX=/opt/micromind     binary, libraries, headers and the CMake package; make clean
BUILD ?= build
PREFIX ?= /usr/local
BENCH_ARGS ?=
JOBS  ?= $(shell nproc)
RUN   ?= runs/demo

MODELS ?= $(wildcard $(or $(MICROMIND_DATA),../shared/data)/mlperf_tiny)

.PHONY: demo test build all configure setup bench bench-deploy install clean

demo: build
	$(BUILD)/micromind run demo --output $(RUN) --force
	@echo "Report: $(RUN)/report.html"

test: all
	@scripts/test_packages.sh $(BUILD)
	cd $(BUILD) && ctest --output-on-failure -j $(JOBS)

build: configure
	cmake --build $(BUILD) -j $(JOBS) --target micromind_cli

all: configure
	cmake --build $(BUILD) -j $(JOBS)

configure: setup
	cmake --preset release -B $(BUILD)

setup:
	@scripts/setup.sh

bench: all
	@for b in $(BUILD)/bench_*; do echo "== $$b"; $$b $(BENCH_ARGS) || exit 1; done

bench-deploy: build
	$(BUILD)/micromind bench deploy $(if $(MODELS),--models $(MODELS)) --markdown docs/benchmarks.md $(BENCH_ARGS)

bench-%: all
	$(BUILD)/bench_$(subst -,_,$*) $(BENCH_ARGS)

install: all
	cmake --install $(BUILD) --prefix "$(PREFIX)"

clean:
	rm -rf $(BUILD)
