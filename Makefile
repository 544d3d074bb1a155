# A newcomer's two commands are `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export CARGO_TARGET_DIR ?= $(CURDIR)/target
ENV := source .ci/env

.PHONY: demo test bench interop soak crash fuzz lint docs build install features clean help

demo: build          ## install what is missing, build, and send real data through all five languages
	$(ENV); MQ_WITHOUT=$$(.ci/lacking | cut -d' ' -f1 | sort -u | paste -sd' ') python3 -m tests.demo

test: build          ## the tests of every language, with Apache's brokers as peers
	.ci/test

bench: build         ## ours and Apache's broker side by side, and each language's client
	$(ENV); python3 -m tests.bench

interop: build       ## the cases with Apache's own clients, tools and brokers
	$(ENV); MQ_BIN=$(CARGO_TARGET_DIR)/release/mq python3 -m pytest -q --controls tests/interop

docs: build          ## the API pages of every language, into build/docs
	.ci/install docs
	.ci/docs/build

crash: build         ## kills a broker under load ROUNDS times (20) and checks that nothing is lost; SEED=n repeats a run
	MQ_BIN=$(CARGO_TARGET_DIR)/release/mq $(CARGO_TARGET_DIR)/release/mq-crash --rounds $(or $(ROUNDS),20) $(if $(SEED),--seed $(SEED))

MINUTES ?= 10
soak: build          ## all clients under faults at random for MINUTES (10); SEED=n repeats one
	$(ENV); MQ_BIN=$(CARGO_TARGET_DIR)/release/mq python3 -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: install        ## every decoder that reads bytes of the network or the disk, SECONDS (30) each, as make test does for three; needs no nightly
	tests/fuzz/run $(or $(SECONDS),30)

lint: install        ## formatting and lints of every language
	.ci/lint

features: build      ## renew the feature table of README.md from the scenarios
	$(ENV); python3 -m tests.harness --broker libmq --broker apache-5.5.0 --broker apache-4.9.7 --table write

build: install       ## the binary mq, libmq and the five packages
	.ci/build

install:             ## what this machine lacks
	.ci/install

clean:               ## all that was built
	rm -rf target build

help:
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/'
