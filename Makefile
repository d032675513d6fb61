# The commands of this project. Settings, as variables of make or of the environment:
#   GREAM_BASE_PORT     the first of 320 ports that the local stack uses (27600); another for another checkout
#   CARGO_TARGET_DIR    where cargo builds (target)
#   GREAM_TOOLS         where make test installs cargo's tools, make test-newest its servers (~/.cache/gream/tools)
#   GREAM_NEWEST_TOOLS  the scripts that fetch the newest MySQL and RabbitMQ (../shared/tools)
#   GREAM_SERVERS       own, or newest: which servers run and bench start (own)
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run run-ha test test-newest simulate fuzz fuzz-api breaker storm chaos rolling blue-green bench load screenshot sqlx down status logs clean-data

# Given to make, they are meant for the scripts too.
export GREAM_BASE_PORT CARGO_TARGET_DIR GREAM_TOOLS GREAM_NEWEST_TOOLS GREAM_SERVERS
ifeq ($(strip $(CARGO_TARGET_DIR)),)
unexport CARGO_TARGET_DIR
endif

help: ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: ## Start everything, play a market day into it, print the report; leaves it running.
	@dev/run

run-ha: ## The same market on three nodes of each server and two of each process; then break what you like.
	@dev/run ha

test: ## Formatting, lints and every test, against real servers of its own.
	@dev/test

test-newest: ## The same tests against the newest MySQL and RabbitMQ, which it fetches once.
	@dev/test newest

simulate: ## The bid worker's code over a broker and store that fail by chance: GREAM_SIMULATION_SEEDS (20000) from GREAM_SIMULATION_SEED on.
	@GREAM_SIMULATION_SEEDS=$${GREAM_SIMULATION_SEEDS:-20000} SQLX_OFFLINE=true cargo test --workspace --test simulation -- --nocapture whatever

fuzz: ## Hostile messages and uploads, ten minutes each (GREAM_FUZZ_SECONDS, GREAM_FUZZ_SEED).
	@dev/fuzz

fuzz-api: ## Generated calls against the API from its OpenAPI document, for ten minutes.
	@dev/fuzz-api

breaker: ## Two minutes without Toss under load (GREAM_OUTAGE_SECONDS): what bids, calls and the backlog do, in numbers.
	@dev/breaker

storm: ## 10,000 charges and refunds while Toss fails at random and workers are killed (GREAM_STORM_SEED).
	@dev/storm

chaos: ## An hour of load while a nemesis kills and cuts whatever there is (GREAM_CHAOS_SECONDS, GREAM_CHAOS_SEED).
	@dev/chaos

rolling: ## Replace every process by this version while a market day goes on (GREAM_ROLLING_FROM: the commit before).
	@dev/rolling

blue-green: ## The same by a whole second set of processes, which takes over from the first.
	@dev/rolling blue-green

bench: ## How fast it is, beside a bare loop on the same servers: table, chart and .gream/bench.json.
	@dev/bench

load: ## 10,000 requests at once, then half an hour at 80 % of what it can (GREAM_LOAD_CLIENTS, GREAM_LOAD_SECONDS).
	@dev/load

screenshot: ## Pictures of the operators' page at work, into docs/.
	@dev/screenshot

sqlx: ## Describe every SQL query to .sqlx, after changing a query or a migration.
	@dev/sqlx

down: ## Stop what make run, or an interrupted make test or make bench, left running.
	@dev/down

status: ## Who runs, and where.
	@dev/stack status; servers=$$?; dev/processes status || servers=1; \
	if [ -d .gream/ha ]; then dev/ha status || servers=1; GREAM_INSTANCE=ha dev/processes status || servers=1; fi; exit $$servers

logs: ## The end of every process's log.
	@dev/processes logs

clean-data: ## Stop everything, and forget all data, secrets and reports.
	@dev/down && GREAM_INSTANCE=clusters dev/ha clean && dev/ha clean && rm -rf .gream
