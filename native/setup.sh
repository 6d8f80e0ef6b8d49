#!/bin/sh
# Makes a fresh clone ready to run: checks the machine, installs the Debian and npm
# packages that are missing, builds the BPF objects and the TypeScript.
#
# It runs before anything is installed, so it is POSIX sh and uses only what Debian
# calls essential. Every step is skipped when its result is already there and newer
# than what it is made from; a step that fails stops with that step's output.
# What the machine lacks for the lab (root, BPF, a kernel new enough) is said in one
# sentence and is no failure here: the tests that need it are skipped by name.
set -u
cd "$(dirname "$0")/.." || exit 1

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

log=$(mktemp "${TMPDIR:-/tmp}/weir-setup.XXXXXX") || stop 'cannot write a temporary file.'
policy=
trap 'rm -f "$log" $policy' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step WHAT COMMAND…: one line, and the command's output only if it fails.
step() {
  say "$1"
  what=$1
  shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    stop "this failed: $what (its output is above)."
  fi
}

# apt ARGUMENT…, as a step: apt-get waits for dpkg's lock by itself, but not for those of its
# lists and archives, which Debian's daily refresh holds, most often just after the boot.
apt() {
  tries=24
  until apt-get -o DPkg::Lock::Timeout=120 "$@"; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || ! tail -n 2 "$log" | grep -Eq '/(lists|archives)/lock'; then
      return 1
    fi
    sleep 5
  done
}

# at_least SEEN FLOOR: compares MAJOR.MINOR.
at_least() {
  seen_major=${1%%.*} seen_rest=${1#*.}
  seen_minor=${seen_rest%%[!0-9]*}
  floor_major=${2%%.*} floor_minor=${2#*.}
  [ "$seen_major" -gt "$floor_major" ] ||
    { [ "$seen_major" -eq "$floor_major" ] && [ "${seen_minor:-0}" -ge "$floor_minor" ]; }
}

[ "$(uname -s)" = Linux ] || stop "Weir runs on Linux only; this is $(uname -s)."

# --- what the lab needs and setup cannot give ---------------------------------------
root=yes
[ "$(id -u)" -eq 0 ] || {
  root=no
  say 'not root: nothing can be installed by apt, the lab cannot run, and the tests that need root are skipped.'
}
# Bits of CAP_NET_ADMIN and CAP_SYS_ADMIN, which the root of a container may not have.
admin=$((1 << 12 | 1 << 21))
capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
[ "$root" = no ] || [ $((0x$capabilities & admin)) -eq "$admin" ] ||
  say 'this root has no CAP_NET_ADMIN and CAP_SYS_ADMIN: the lab cannot run, and the tests that need root are skipped.'
at_least "$(uname -r)" 6.1 ||
  say "kernel $(uname -r) is older than 6.1: the fast path does not load here, and its tests are skipped."
if [ ! -e /proc/sys/kernel/unprivileged_bpf_disabled ]; then
  say 'this kernel has no bpf system call: the fast path does not load here, and its tests are skipped.'
elif [ ! -r /sys/kernel/btf/vmlinux ]; then
  say 'this kernel has no BTF (/sys/kernel/btf/vmlinux): the fast path does not load here, and its tests are skipped.'
fi

# --- Node ---------------------------------------------------------------------------
command -v node >/dev/null 2>&1 || stop 'Node.js 20.19 or newer is needed, and there is no "node" in PATH.'
command -v npm >/dev/null 2>&1 || stop 'npm is needed, and there is no "npm" in PATH.'
node_facts=$(node -p '`${process.versions.node} ${process.versions.modules}`') || stop 'node does not run.'
node_version=${node_facts% *} node_abi=${node_facts#* }
at_least "$node_version" 20.19 || stop "Node.js 20.19 or newer is needed; this is $node_version."

# --- Debian packages ----------------------------------------------------------------
# For the BPF objects, better-sqlite3's own build and certificates of tests; for the lab, which only root can run.
packages='clang libbpf1 libbpf-dev linux-libc-dev make g++ openssl python3'
commands='clang make g++ openssl python3'
if [ "$root" = yes ]; then
  packages="$packages iproute2 ethtool tcpdump curl iputils-ping procps util-linux haproxy nginx wrk sslscan testssl.sh pebble keepalived nftables"
  commands="$commands ip ethtool tcpdump curl ping sysctl nsenter"
fi
if command -v dpkg-query >/dev/null 2>&1; then
  # shellcheck disable=SC2086
  have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $packages 2>/dev/null)
  missing=
  for package in $packages; do
    case "
$have
" in *"
installed $package
"*) ;; *) missing="$missing $package" ;; esac
  done
  if [ -n "$missing" ]; then
    [ "$root" = yes ] ||
      stop "these Debian packages are missing, and only root can install them:$missing. Run: sudo apt-get install$missing"
    export DEBIAN_FRONTEND=noninteractive
    step 'refreshing the list of Debian packages' apt update
    # Debian starts haproxy, nginx and keepalived when they come, nginx on port 80; here they are for
    # tests only.
    if [ ! -e /usr/sbin/policy-rc.d ] && [ ! -L /usr/sbin/policy-rc.d ]; then
      policy=/usr/sbin/policy-rc.d
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    step "installing Debian packages:$missing" apt install -y --no-install-recommends $missing
    [ -z "$policy" ] || rm -f "$policy"
    policy=
    for service in haproxy nginx keepalived; do
      case "$missing " in *" $service "*)
        ! command -v systemctl >/dev/null 2>&1 ||
          step "keeping $service from starting with the machine" systemctl disable "$service"
        ;;
      esac
    done
  fi
else
  for command in $commands; do
    command -v "$command" >/dev/null 2>&1 ||
      stop "not a Debian system, so nothing is installed here, and \"$command\" is missing: install it with your package manager."
  done
fi

# --- npm packages -------------------------------------------------------------------
# The stamp names the lock file and the ABI that native packages were built for.
stamp=node_modules/.weir-setup
lock="$(sha256sum <package-lock.json) abi $node_abi"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$lock" ]; then
  # The headers that came with Node, if any: then building a native package downloads nothing.
  node_home=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -f "$node_home/include/node/node.h" ]; then
    export npm_package_config_node_gyp_nodedir="$node_home"
  fi
  step 'installing npm packages (better-sqlite3 may be compiled: a minute or two)' npm ci
  printf '%s\n' "$lock" >"$stamp"
fi

# --- builds -------------------------------------------------------------------------
# stale STAMP PATH…: true when anything below the paths, a deletion included, is newer.
stale() {
  [ -f "$1" ] || return 0
  built=$1
  shift
  [ -n "$(find "$@" -newer "$built" ! -name '*.md' -print -quit 2>/dev/null)" ]
}

mkdir -p build
if stale build/.bpf-built native/bpf; then
  : >build/.bpf-started
  step 'building the BPF objects' sh native/bpf/build.sh
  mv build/.bpf-started build/.bpf-built
fi

if stale build/.typescript-built appliance images native tui test tsconfig.json node_modules/.weir-setup; then
  : >build/.typescript-started
  # What lost its source must not run as a test or shadow a moved module.
  find build -path '*/node_modules' -prune -o -name '*.js' -print | while read -r made; do
    source=${made#build/}
    [ -f "${source%.js}.ts" ] || rm -f "$made" "$made.map"
  done
  step 'building the TypeScript' node node_modules/typescript/bin/tsc -p tsconfig.json
  mv build/.typescript-started build/.typescript-built
fi
