# SPDX-License-Identifier: Apache-2.0
# Sourced: the package mirrors of this machine, for an apt of our own.
#
# sources_of_this_machine FOLDER: writes FOLDER/deb.list, and with the word "source" as the second
# argument the source packages' lines only.

# deb822: the fields of a stanza that is not disabled, as lines of the older form.
deb822_lines() {
	awk '
	function flush(   t, u, s, types, uris, suites, nt, nu, ns, options) {
		if (uri != "" && enabled != "no") {
			nt = split(type, types); nu = split(uri, uris); ns = split(suite, suites)
			options = signed ~ /^\// ? " [signed-by=" signed "]" : ""
			for (t = 1; t <= nt; t++)
				for (u = 1; u <= nu; u++)
					for (s = 1; s <= ns; s++)
						print types[t] options " " uris[u] " " suites[s] " " component
		}
		type = uri = suite = component = signed = enabled = ""
	}
	/^[ \t]*$/ { flush(); next }
	/^#/ { next }
	{
		key = tolower($1); value = $0; sub(/^[^:]*:[ \t]*/, "", value)
		if (key == "types:") type = value
		else if (key == "uris:") uri = value
		else if (key == "suites:") suite = value
		else if (key == "components:") component = value
		else if (key == "signed-by:") signed = value
		else if (key == "enabled:") enabled = value
	}
	END { flush() }' "$@"
}

sources_of_this_machine() { # FOLDER [source]
	mkdir -p "$1"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ ! -f "$file" ] || grep -hE '^deb ' "$file"
	done >"$1/deb.list" || true
	for file in /etc/apt/sources.list.d/*.sources; do
		[ ! -f "$file" ] || deb822_lines "$file" | grep '^deb ' >>"$1/deb.list" || true
	done
	# Only the distribution's own: others need not have what is asked for.
	grep -E ' (bookworm|stable|12)[^ ]* main' "$1/deb.list" >"$1/own.list" || true
	mv "$1/own.list" "$1/deb.list"
	if [ "${2:-}" = source ]; then
		sed -i 's/^deb /deb-src /' "$1/deb.list"
	fi
	[ -s "$1/deb.list" ] || {
		echo "no Debian 12 mirror in /etc/apt" >&2
		return 1
	}
}
