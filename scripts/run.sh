#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds hearth, starts its agent, profiles a command and shows where its time goes.
#
#   scripts/run.sh [--once] [-- COMMAND...]
#
# Without COMMAND a demo service is profiled.  The agent and the demo stay up until Ctrl-C; with
# --once everything ends by itself after the report.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
once=""
while [ $# -gt 0 ]; do
	case $1 in
	--once) once=1 ;;
	--)
		shift
		break
		;;
	*)
		echo "usage: scripts/run.sh [--once] [-- COMMAND...]" >&2
		exit 2
		;;
	esac
	shift
done

say() {
	echo "hearth: $*" >&2
}

say "building (the first time installs what it needs; this takes a few minutes)"
"$root/scripts/deps.sh" build run
"$root/scripts/build.sh" release
bin=$root/build/release/bin

run=$(mktemp -d "${TMPDIR:-/tmp}/hearth-run.XXXXXX")
data=${HEARTH_DATA:-$run/data}
chmod 755 "$run"
agent=""
command=""

finish() {
	trap - EXIT INT TERM
	[ -z "$command" ] || kill "$command" 2>/dev/null || true
	[ -z "$command" ] || wait "$command" 2>/dev/null || true
	[ -z "$agent" ] || kill "$agent" 2>/dev/null || true
	[ -z "$agent" ] || wait "$agent" 2>/dev/null || true
	rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT TERM

start_agent() { # ADDRESS
	"$bin/hearthd" --run "$run" --data "$data" --listen "$1" 2>"$run/agent.log" &
	agent=$!
	tries=0
	while [ ! -e "$run/hearthd.json" ]; do
		if ! kill -0 "$agent" 2>/dev/null; then
			wait "$agent" || true
			agent=""
			return 1
		fi
		tries=$((tries + 1))
		[ "$tries" -lt 300 ] || return 1
		sleep 0.1
	done
}

# Port 4040 is the page's place; when something has it, any other will do.
if ! start_agent 127.0.0.1:4040; then
	start_agent 127.0.0.1:0 || {
		cat "$run/agent.log" >&2
		exit 1
	}
fi
export HEARTH_SERVER="unix:$run"

if [ $# -eq 0 ]; then
	say "profiling the demo service"
	"$bin/hearth" run -q --service demo -- "$bin/hearth-demo" ${once:+8} >/dev/null &
else
	say "profiling $*"
	"$bin/hearth" run -q -- "$@" &
fi
command=$!
status=0
if [ -n "$once" ]; then
	wait "$command" || status=$?
	command=""
else
	sleep 6
fi

# The last second of a program that has ended is stored a moment later, and its names after that.
settle() {
	tries=0
	while [ "$tries" -lt 100 ]; do
		"$bin/hearth" status --json >"$run/status.json" 2>/dev/null || true
		attached=$(sed -n 's/.*"processes":\(\[[^]]*\]\).*/\1/p' "$run/status.json" | grep -c '"pid"' || true)
		waiting=$(sed -n 's/.*"symbols":{[^}]*"queued":\([0-9]*\).*/\1/p' "$run/status.json")
		[ "${waiting:-1}" = 0 ] && { [ -z "$once" ] || [ "$attached" = 0 ]; } && return 0
		tries=$((tries + 1))
		sleep 0.1
	done
}
settle

"$bin/hearth" top -n 15 || {
	code=$?
	[ "$code" = 3 ] && say "the command ended before a sample was taken; try one that works longer"
}
if [ -n "$once" ]; then
	exit "$status"
fi

say "the page (this link works once): $("$bin/hearth" ui)"
say "ask more with: HEARTH_SERVER=unix:$run $bin/hearth top --by thread -t wall"
say "Ctrl-C ends it"
wait "$command" || status=$?
command=""
say "the command has ended with status $status; the agent goes on until Ctrl-C"
wait "$agent"
