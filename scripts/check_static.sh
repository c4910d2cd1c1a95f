#!/usr/bin/env bash
# Whether the program links against musl, as in the Dockerfile's build stage, is static and runs: scripts/check_static.sh
# A debug build: linking is what is tested. Without rustup's musl target or musl-gcc it says SKIPPED and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-musl
skip() {
  echo "SKIPPED: the static program was NOT tested: $*"
  exit 0
}
[ "$(uname -m)" = x86_64 ] || skip "this machine is no x86_64"
if ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
  timeout 180 rustup target add "$target" >/dev/null 2>&1 || skip "rustup has no $target here"
fi
command -v musl-gcc >/dev/null || { apt-get update -qq && apt-get install -y -qq musl-tools; } >/dev/null 2>&1 || skip "Debian's musl-tools cannot be had here"
CC_x86_64_unknown_linux_musl=musl-gcc cargo build --quiet --locked --target "$target" --package augur --bin augur
augur=target/$target/debug/augur
# ldd answers for musl's programs, too, if there is a loader that they ask for.
if readelf --program-headers "$augur" | grep -q 'program interpreter'; then
  echo "$augur asks for a loader: it is not static, and an empty image could not run it"
  exit 1
fi
echo "static against musl: $("$augur" --version)"
rm -r "target/$target"
