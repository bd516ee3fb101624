#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the named parts of hearth need from Debian 12; says nothing when all is there.
#   scripts/deps.sh build      compiler, libraries, Node.js for the page
#   scripts/deps.sh run        what the built programs load
#   scripts/deps.sh test       what the tests run besides
#   scripts/deps.sh bench      servers, load generators and other profilers: scripts/bench.sh, proof.sh
#   scripts/deps.sh fuzz       what counts the branches that a corpus reaches: scripts/proof.sh fuzz
# docs/decisions/0002-libraries.md says why each is here.
set -eu

build="cmake ninja-build gcc g++ pkg-config libc6-dev libevent-dev libmicrohttpd-dev libnghttp2-dev libsqlite3-dev
libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libjansson-dev libzstd-dev liblz4-dev zlib1g-dev
libdeflate-dev libxxhash-dev libdw-dev libelf-dev liblzma-dev libiberty-dev libseccomp-dev libpcre2-dev
libcyaml-dev libyaml-dev libcurl4-openssl-dev libcmocka-dev xz-utils"
run="ca-certificates"
test="python3 git clang clang-format-14 libclang-rt-14-dev chromium strace sqlite3 valgrind procps binutils perl
zsh fish zstd groff-base libjemalloc2 libtcmalloc-minimal4 libgoogle-perftools4"
bench="redis-server nginx-light apache2-utils wrk strace valgrind python3 sqlite3 git tcl postgresql
postgresql-contrib libprotobuf-dev libpython3.11-testsuite google-perftools libgoogle-perftools4 libjemalloc2 heaptrack
prometheus"
fuzz="clang libclang-rt-14-dev llvm-14"

wanted=""
for part in "$@"; do
	case $part in
	build)
		wanted="$wanted $build"
		command -v node >/dev/null 2>&1 || wanted="$wanted nodejs"
		command -v npm >/dev/null 2>&1 || wanted="$wanted npm"
		;;
	run) wanted="$wanted $run" ;;
	test)
		wanted="$wanted $test"
		;;
	bench) wanted="$wanted $bench" ;;
	fuzz) wanted="$wanted $fuzz" ;;
	*)
		echo "usage: scripts/deps.sh build|run|test|bench|fuzz..." >&2
		exit 2
		;;
	esac
done

missing=""
for package in $wanted; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "hearth: installing$missing" >&2
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
log=$(mktemp)
kept=$(mktemp)
trap 'rm -f "$log" "$kept"' EXIT

# Installing writes this file anew.  What was put there by hand, for a network with a certificate
# authority of its own, is put back beside the new.
bundle=/etc/ssl/certs/ca-certificates.crt
[ ! -s "$bundle" ] || cat "$bundle" >"$kept"
if ! { $as_root apt-get update &&
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
	>"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
if [ -s "$kept" ] && ! cmp -s "$kept" "$bundle"; then
	union=$(awk '/BEGIN CERTIFICATE/ { text = ""; inside = 1 }
		inside { text = text $0 "\n" }
		/END CERTIFICATE/ { inside = 0; if (!seen[text]++) printf "%s", text }' "$bundle" "$kept")
	printf '%s\n' "$union" | $as_root tee "$bundle" >/dev/null
fi
