#!/bin/sh
# Compiles the XDP programs to build/native/bpf/*.o; does nothing when they are newer than
# their sources. `build.sh --force` compiles anyway. Needs clang 14 or newer and libbpf-dev.
#
# Invariant: the objects depend on no kernel's own headers, only on the stable ones (linux/*.h),
# so an object built on one machine loads on every kernel from 6.1 on.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "$here/../.." && pwd)/build/native/bpf
clang=${CLANG:-clang}

fail() {
	echo "build.sh: $1" >&2
	exit 1
}

stale() {
	[ "${1:-}" = --force ] && return 0
	for source in "$here"/*.bpf.c; do
		object=$out/$(basename "$source" .c).o
		[ -e "$object" ] || return 0
		[ -z "$(find "$here" -type f -newer "$object")" ] || return 0
	done
	return 1
}

stale "$@" || exit 0

command -v "$clang" >/dev/null 2>&1 ||
	fail "clang is missing: install it (apt-get install clang libbpf-dev) or name it in CLANG"
version=$("$clang" -dumpversion)
[ "${version%%.*}" -ge 14 ] || fail "clang $version is too old: 14 is the oldest that works"

# <asm/types.h> lives under the host's architecture, which -target bpf does not know.
multiarch=$("$clang" -print-multiarch 2>/dev/null || true)
[ -n "$multiarch" ] || multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || true)
[ -n "$multiarch" ] || multiarch=$(uname -m)-linux-gnu
[ -e "/usr/include/$multiarch/asm/types.h" ] ||
	fail "the kernel's user headers are missing: install linux-libc-dev"
[ -e /usr/include/bpf/bpf_helpers.h ] || fail "libbpf's headers are missing: install libbpf-dev"

mkdir -p "$out"
for source in "$here"/*.bpf.c; do
	object=$out/$(basename "$source" .c).o
	# Written aside and moved: a daemon that starts meanwhile never sees half an object.
	"$clang" -O2 -g -Wall -Wextra -Werror -fms-extensions -Wno-microsoft-anon-tag -target bpf -mcpu=v3 \
		-I"/usr/include/$multiarch" -c "$source" -o "$object.new"
	mv "$object.new" "$object"
	echo "built ${object#"$out"/}"
done
