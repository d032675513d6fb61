# shellcheck shell=bash
# What dev/run and dev/test share: named steps with their times, and a build folder that is ours. Sourced after
# instance.sh.

began=$EPOCHREALTIME

# Announces what comes now, and how long everything before it took.
step() { printf '\n\033[1m== %s\033[0m  (after %s s)\n' "$*" "$(seconds_since "$began")"; }

# "12.3" seconds between an earlier $EPOCHREALTIME and now.
seconds_since() { # EPOCHREALTIME
  local tenths=$(((${EPOCHREALTIME/./} - ${1/./}) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# cargo's own message about another user's build folder is a bare 'Permission denied'.
need_own_target() {
  local target=${CARGO_TARGET_DIR:-$root/target} owner
  [ -e "$target" ] || return 0
  owner=$(find "$target" -maxdepth 3 ! -user "$me" -printf '%u\n' -quit 2>/dev/null) || true
  [ -z "$owner" ] || die "files in $target belong to $owner, and you are $me: build as $owner, delete that folder as" \
    "$owner, or set CARGO_TARGET_DIR to a folder of your own"
}

need_rust() {
  command -v cargo >/dev/null || die "cargo is not on the PATH: install Rust 1.94 or newer (https://rustup.rs)"
  command -v cc >/dev/null || die "there is no C compiler: as root, apt-get install gcc libc6-dev"
}
