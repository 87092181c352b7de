#!/usr/bin/env bash
# Makes this checkout ready to run: installs what is missing, fetches the packages, builds. Quick when nothing is to do.
#   setup.sh [--with-tests]     also what only the tests need
# With apt-get and root (or sudo without a password) it installs by itself; else it says what to install.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
PATH=$PATH:/usr/sbin:/sbin
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# Two commands at once in one checkout must not both install; the lock ends with this script.
exec 9<package.json
if has flock; then flock 9; fi

as_root=()
may_install() {
  has apt-get || return 1
  [ "$(id -u)" = 0 ] && return 0
  has sudo && sudo -n true 2>/dev/null && as_root=(sudo -n)
}

updated=
apt_update() {
  [ -z "$updated" ] || return 0
  "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 || say 'apt-get update had errors; going on with the lists that are here'
  updated=1
}

policy=
# apt_install PACKAGE...: without starting the services in them, which would take ports and memory of the machine.
apt_install() {
  say "installing by apt-get: $*"
  local log
  log=$(mktemp)
  apt_update
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap 'remove_policy' EXIT
  fi
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@" >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "apt-get could not install $*; the whole output is in $log"
  fi
  remove_policy
  rm -f "$log"
}
remove_policy() {
  [ -z "$policy" ] || "${as_root[@]}" rm -f "$policy"
  policy=
}

# need WHAT PACKAGE...: installs the packages, or says in one sentence that WHAT is missing.
need() {
  local what=$1
  shift
  may_install || fail "$what is missing: install it (Debian: apt-get install $*) and run this again."
  apt_install "$@"
}

NODE_WANTED='20.19 or later, or 22.12 or later'

# version_fits 20.19.2+dfsg-1
version_fits() {
  local major=${1%%.*} rest=${1#*.}
  local minor=${rest%%.*}
  case $major in
    20) [ "$minor" -ge 19 ] ;;
    22) [ "$minor" -ge 12 ] ;;
    *) [ "$major" -gt 22 ] ;;
  esac
}

# Looks before it installs: what would be too old is not put on the machine.
install_node() {
  may_install || need "Node.js ($NODE_WANTED)" nodejs npm
  apt_update
  local offered
  offered=$(apt-cache policy nodejs | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p')
  version_fits "${offered:-0.0}" ||
    fail "this system's packages have Node.js ${offered:-not at all}: install $NODE_WANTED in another way (Debian 13 has it), and run this again."
  apt_install nodejs npm ca-certificates
}

ensure_node() {
  if ! has node; then install_node; fi
  local version
  version=$(node -v)
  version_fits "${version#v}" ||
    fail "Node.js $version is too old: install $NODE_WANTED (Debian 13 has it), and run this again."
  if ! has npm; then need npm npm ca-certificates; fi
}

nginx_fits() {
  local version
  version=$(nginx -v 2>&1 | sed -n 's|.*nginx/\([0-9]*\)\.\([0-9]*\).*|\1 \2|p')
  [ -n "$version" ] || return 1
  set -- $version
  [ "$1" -gt 1 ] || { [ "$1" = 1 ] && [ "$2" -ge 22 ]; }
}

# As a module file, or built in.
has_njs() {
  local build folder
  build=$(nginx -V 2>&1)
  folder=$(sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p' <<<"$build")
  for folder in ${folder:+"$folder"} /usr/lib/nginx/modules /usr/lib64/nginx/modules /etc/nginx/modules; do
    [ -e "$folder/ngx_http_js_module.so" ] && return 0
  done
  grep -q -- '--add-module=[^ ]*njs' <<<"$build"
}

ensure_nginx() {
  if ! has nginx; then
    need 'nginx (1.22 or later) with njs' nginx libnginx-mod-http-js
    say "nginx's own service was not started: raft-nginx runs its own nginx processes"
  fi
  nginx_fits || fail "$(nginx -v 2>&1) is too old: install nginx 1.22 or later with its njs module, and run this again."
  has_njs || need 'the njs module of nginx' libnginx-mod-http-js
}

# The headers of this very Node: beside it, or Debian's own package. Without them node-gyp would have to download them.
use_headers() {
  local prefix header
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  header=$prefix/include/node/node_version.h
  if [ ! -e "$header" ] && [ "$prefix" = /usr ] && may_install; then apt_install libnode-dev; fi
  # those of another Node would compile, and crash
  if grep -qs "NODE_MAJOR_VERSION $(node -p 'process.versions.node.split(".")[0]')\$" "$header"; then
    export npm_config_nodedir=$prefix
  fi
}

database_loads() {
  node -e 'new (require("better-sqlite3"))(":memory:").close()' >/dev/null 2>&1
}

compile_database() {
  local missing=()
  has python3 || missing+=(python3)
  has make || missing+=(make)
  has g++ || missing+=(g++)
  if [ ${#missing[@]} -gt 0 ]; then need "a compiler for the database driver (${missing[*]})" "${missing[@]}"; fi
  use_headers
  say 'compiling the database driver: about 90 seconds'
  local log
  log=$(mktemp)
  # straight to the compiler: that nothing can be downloaded is known by now
  if ! (cd node_modules/better-sqlite3 && npm run build-release) >"$log" 2>&1; then
    tail -n 25 "$log" >&2
    fail "the database driver could not be compiled; the whole output is in $log"
  fi
  rm -f "$log"
}

ensure_database() {
  database_loads && return
  say "fetching the database driver's binary"
  (cd node_modules/better-sqlite3 && timeout 60 npx --no-install prebuild-install) >/dev/null 2>&1 || true
  database_loads || compile_database
  database_loads || fail "the database driver does not load: $(node -e 'require("better-sqlite3")(":memory:")' 2>&1 | grep -m1 Error)"
}

# Whether node_modules holds what package-lock.json asks for: npm keeps a list of what it has put there.
packages_fit() {
  node -e 'const fs = require("fs"), read = f => JSON.parse(fs.readFileSync(f, "utf8")).packages
    const have = read("node_modules/.package-lock.json")
    const fits = ([path, want]) => path === "" || (have[path] ? have[path].version === want.version : want.optional || want.peer)
    process.exit(Object.entries(read("package-lock.json")).every(fits) ? 0 : 1)' 2>/dev/null
}

ensure_packages() {
  packages_fit && return
  # npm ci begins by emptying it, and would empty what others use.
  [ ! -L node_modules ] || fail "node_modules is a link, and what it leads to ($(readlink node_modules)) is not what package-lock.json asks for: remove the link, or run this there."
  say 'fetching packages: npm ci'
  # Install scripts come after: the driver needs a compiler only where its binary cannot be had.
  npm ci --ignore-scripts --loglevel=error || fail 'npm ci failed: see above.'
}

ensure_build() {
  local inputs=(agent/src agent/examples njs/src agent/tsconfig.json agent/tsconfig.base.json scripts/build-njs.ts package-lock.json)
  if [ -e build/.built ] && [ -e agent/dist/main.js ] && [ -e build/njs/gateway.js ] &&
    [ -z "$(find "${inputs[@]}" -newer build/.built -print -quit)" ]; then return; fi
  say 'building'
  local log started
  log=$(mktemp)
  started=$(mktemp)
  if ! npm run build >"$log" 2>&1; then
    cat "$log" >&2
    fail 'the build failed: see above.'
  fi
  # of the time when it began: what was written meanwhile is built next time
  touch -r "$started" build/.built
  rm -f "$log" "$started"
}

[ -d /proc/self ] || fail 'this needs Linux (with /proc).'
ensure_node
ensure_nginx
if [ "${1-}" = --with-tests ]; then
  has git || need git git
  # The tests of edge reads need a newer nginx than Debian 12's: as root they make Debian 13's, in a folder of its own.
  if [ "$(id -u)" = 0 ] && ! has debootstrap && nginx -v 2>&1 | grep -Eq 'nginx/1\.2[2-4]\.' && may_install; then
    (apt_install debootstrap) || say 'without debootstrap the tests of edge reads are skipped'
  fi
  if ! has faketime && may_install; then
    (apt_install faketime) || say 'without faketime the tests of clocks that jump are not run'
  fi
  # Hosts, networks and disks of the mixed faults: without root there are none.
  for tool in ip:iproute2 nft:nftables strace:strace mkfs.ext4:e2fsprogs; do
    if [ "$(id -u)" = 0 ] && ! has "${tool%%:*}" && may_install; then
      (apt_install "${tool#*:}") || say "without ${tool%%:*} some faults are not tried"
    fi
  done
fi
ensure_packages
ensure_database
ensure_build
