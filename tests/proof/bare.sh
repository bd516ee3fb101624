#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A stranger's machine: a fresh Debian 12 of its smallest kind, a clone of this repository, and the
# two commands of the README.  Needs root, debootstrap, and the network as this machine has it: its
# apt mirrors, proxies, certificate bundle and npm registry are taken over at run time.
set -u
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
. "$here/apt.sh"

if [ "${1:-}" = inside ]; then # FOLDER, in namespaces of our own: all mounts end with them
	root=$2
	mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" || exit 1
	. "$root/environment"
	status=0
	for command in "scripts/run.sh --once" scripts/test.sh; do
		log=$source/build/proof/bare-$(basename "${command%% *}" .sh).log
		chroot "$root" sh -c "cd /root/hearth && $command" >"$log" 2>&1
		code=$?
		echo "# $command: status $code"
		tail -n 22 "$log" | sed 's/^/#   /'
		[ "$code" = 0 ] || status=1
	done
	# The planted hot function stands in the first row.
	if [ "$status" = 0 ] && grep -m 1 '[0-9]%' "$source/build/proof/bare-run.log" | grep -q checksum_orders; then
		echo "ok bare"
	else
		echo "not ok bare"
		status=1
	fi
	exit "$status"
fi

if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
	echo "ok bare # skipped: needs root and debootstrap"
	exit 0
fi
root=$(mktemp -d "${TMPDIR:-/var/tmp}/hearth-bare.XXXXXX")
chmod 755 "$root" # apt fetches as a user of its own
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$source/build/proof"

# What this machine needs to reach its mirrors and registries.  Installing ca-certificates replaces
# the bundle at its usual place, so tools are pointed at a second copy.
connect() {
	cp "$root/apt/deb.list" "$root/etc/apt/sources.list"
	apt-config dump | grep -E '^Acquire::https?::(Proxy|CAInfo|[^ ]*::(Proxy|CAInfo)) ' \
		>"$root/etc/apt/apt.conf.d/90host" || true
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	mkdir -p "$root/etc/ssl/certs"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/host.crt"
	{
		env | sed -n "s/'/'\\\\''/g; s/^\(\(https\{0,1\}\|all\|no\)_proxy\|\(HTTPS\{0,1\}\|ALL\|NO\)_PROXY\|PIP_INDEX_URL\|GOPROXY\|GONOSUMDB\|GOSUMDB\|GOFLAGS\)=\(.*\)/\1='\4'; export \1/p"
		registry=$(npm config get registry 2>/dev/null || true)
		[ -z "$registry" ] || echo "npm_config_registry='$registry'; export npm_config_registry"
		cat <<-'EOF'
			NODE_EXTRA_CA_CERTS=/etc/ssl/host.crt
			SSL_CERT_FILE=/etc/ssl/host.crt
			GIT_SSL_CAINFO=/etc/ssl/host.crt
			HOME=/root
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
			LC_ALL=C
			export NODE_EXTRA_CA_CERTS SSL_CERT_FILE GIT_SSL_CAINFO HOME PATH LC_ALL
			unset HEARTH_BUILD HEARTH_SERVER HEARTH_DATA TMPDIR PYTHONDONTWRITEBYTECODE
		EOF
	} >"$root/environment"
}

log=$source/build/proof/bare-root.log
if ! {
	sources_of_this_machine "$root/apt" &&
		mirror=$(awk '{ for (i = 2; i < NF; i++) if ($i ~ /:\// && $(i + 1) == "bookworm") { print $i; exit } }' \
			"$root/apt/deb.list") &&
		keyring=$(sed -n 's/.*\[signed-by=\([^]]*\)\].*/\1/p' "$root/apt/deb.list" | head -n 1) &&
		debootstrap --variant=minbase \
			--keyring="${keyring:-/usr/share/keyrings/debian-archive-keyring.gpg}" \
			bookworm "$root" "$mirror" &&
		connect &&
		git clone -q --no-hardlinks "$source" "$root/root/hearth"
} >"$log" 2>&1; then
	tail -n 20 "$log"
	echo "not ok bare"
	exit 1
fi
corpus=${HEARTH_CORPUS:-}
for place in "$source/../shared/corpus" "$source/../../shared/corpus"; do
	[ -n "$corpus" ] || [ ! -f "$place/expected.tsv" ] || corpus=$place
done
if [ -n "$corpus" ]; then
	mkdir -p "$root/root/shared"
	cp -r "$corpus" "$root/root/shared/corpus"
fi
unshare --mount --propagation private --pid --fork --kill-child sh "$here/bare.sh" inside "$root"
