#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is made of a built `hearth`: a man page for each verb, of its --help, and completions for three shells.
#   cli/verb_pages.sh HEARTH OUT
set -eu
hearth=$1
out=$2
mkdir -p "$out"
for shell in bash zsh fish; do
	"$hearth" completion "$shell" >"$out/hearth.$shell"
done
# "  run        start a command with the profiler inside"
"$hearth" --help | sed -n 's/^  \([a-z]*\)  *\(.*\)$/\1 \2/p' | while read -r verb about; do
	{
		printf '.\\" Made of `hearth %s --help`.\n' "$verb"
		printf '.TH HEARTH-%s 1 "" "hearth" "hearth"\n' "$(echo "$verb" | tr a-z A-Z)"
		printf '.SH NAME\nhearth-%s \\- %s\n' "$verb" "$about"
		printf '.SH DESCRIPTION\n.nf\n'
		"$hearth" "$verb" --help | sed -e 's/\\/\\\\/g' -e 's/-/\\-/g' -e "s/^\\([.']\\)/\\\\\\&\\1/"
		printf '.fi\n.SH EXIT STATUS\n'
		case $verb in
		run | record) printf "The command's own; 126 when it cannot be executed, 127 when there is none, 128 and the number of a signal that ended it.\n" ;;
		*) printf '0 ok, 1 failure, 2 usage, 3 no matching data, 4 agent unreachable, 5 threshold exceeded.\n' ;;
		esac
		printf '.SH SEE ALSO\n.BR hearth (1),\n.BR hearthd (8)\n'
	} >"$out/hearth-$verb.1"
done
