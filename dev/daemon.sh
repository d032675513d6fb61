# shellcheck shell=bash
# Starting, finding and ending a process in the background. Sourced after instance.sh.
#
# A pid alone does not say who a process is: after a crash or a reboot another may have the number. So a pid file
# holds "PID START BOOT" (the start time in /proc/PID/stat, and the machine's boot id), which no two processes share,
# and a process that does not match all three is never signalled.

readonly BOOT_ID_FILE=/proc/sys/kernel/random/boot_id
readonly LOG_BYTES_KEPT=20000000

# Runs COMMAND in the background, in its own session (Ctrl-C in a terminal is not for it), in FOLDER.
spawn() { # NAME FOLDER COMMAND...
  local name=$1 folder=$2 log=$home/log/$1.log
  shift 2
  if [ -s "$log" ] && [ "$(stat -c %s "$log")" -gt "$LOG_BYTES_KEPT" ]; then mv "$log" "$log.old"; fi
  # The new process writes its own pid before it becomes COMMAND: there is no moment in which it runs unknown.
  # Descriptor 9 is the instance's lock, which must not live as long as a server.
  # shellcheck disable=SC2016 # these $ are the inner shell's
  (cd "$folder" && exec setsid bash -c '
    read -r -a stat </proc/$$/stat; read -r boot <'"$BOOT_ID_FILE"'
    printf "%s %s %s\n" "$$" "${stat[21]}" "$boot" >"$1"; shift; exec "$@"
  ' bash "$(pid_file "$name")" "$@") </dev/null >>"$log" 2>&1 9>&- &
  # Until it has written its pid file (or died trying), it cannot be told from one that never started.
  until is_alive "$name" || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
}

pid_file() { printf '%s/pid/%s' "$home" "$1"; } # NAME

# The pid, if that process lives and is the one that we started; else fails.
pid_of() { # NAME
  local pid start boot state
  { read -r pid start boot <"$(pid_file "$1")"; } 2>/dev/null || return 1
  [ "$boot" = "$(<"$BOOT_ID_FILE")" ] || return 1
  state=$(state_of "$pid") || return 1
  [ "${state#* }" = "$start" ] || return 1
  printf '%s' "$pid"
}
is_alive() { pid_of "$1" >/dev/null; } # NAME

# "STATE START" out of /proc/PID/stat, whose second field is a name with blanks and parentheses in it. A zombie is dead
# (its parent may be slow to notice, or never do so in a container), but not while threads of it still hold its ports.
state_of() { # PID
  local line
  { line=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # split into its words
  set -- ${line##*) }
  [ "$1" != Z ] || [ "${18}" -gt 1 ] || return 1
  printf '%s %s' "$1" "${20}"
}

is_frozen() { # NAME
  local pid state
  pid=$(pid_of "$1") && state=$(state_of "$pid") && [ "${state% *}" = T ]
}

# Sends SIGNAL; fails if there is no such process. Where it is root's and we are not, says so.
signal() { # NAME SIGNAL
  local pid
  pid=$(pid_of "$1") || return 1
  kill -"$2" "$pid" 2>/dev/null || ! is_alive "$1" ||
    die "$1 (pid $pid) belongs to $(stat -c %U "/proc/$pid"): $me may not stop it; run this as that user or as root"
}

# One of the signals that tests need. A killed process is gone only a moment later; who calls wants it gone.
signal_one() { # NAME SIGNAL
  case $2 in
  KILL | TERM | STOP | CONT) ;;
  *) die "signal '$2' is none of KILL, TERM, STOP, CONT" ;;
  esac
  signal "$1" "$2" || die "$1 of '$instance' does not run"
  [ "$2" != KILL ] || wait_gone "$1" 10 || die "$1 survives kill -9"
}

# Ends a process in an orderly way, or with KILL when it takes longer than SECONDS_GIVEN. No process is no error.
end() { # NAME SECONDS_GIVEN
  if signal "$1" TERM; then
    signal "$1" CONT || true # one that was stopped with SIGSTOP must wake up to notice
    if ! wait_gone "$1" "$2"; then
      say "$1: did not end within $2 s; killed"
      signal "$1" KILL || true
      wait_gone "$1" 10 || die "$1 (pid $(pid_of "$1")) survives kill -9"
    fi
  fi
  rm -f "$(pid_file "$1")"
}

wait_gone() { # NAME SECONDS_GIVEN
  local until=$((SECONDS + $2))
  while is_alive "$1"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.05
  done
}

# Waits until CHECK succeeds. When the process dies, or the time is up, shows why and fails.
wait_ready() { # NAME SECONDS_GIVEN CHECK...
  local name=$1 given=$2 log=$home/log/$1.log until=$((SECONDS + $2))
  shift 2
  until "$@" 2>/dev/null; do
    if ! is_alive "$name"; then
      tail -n 20 "$log" >&2
      die "$name ended while starting: the lines above are the end of $log"
    elif [ "$SECONDS" -ge "$until" ]; then
      tail -n 20 "$log" >&2
      die "$name was not ready within $given s: the lines above are the end of $log"
    fi
    sleep 0.1
  done
}

listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # PORT

# Refuses when somebody else has one of the ports.
need_free_ports() { # NAME PORT...
  local name=$1 port
  shift
  for port in "$@"; do
    ! listens "$port" || die "port $port ($name of '$instance') is taken by another program." \
      "Choose another block of $PORTS_IN_ALL ports, for example: GREAM_BASE_PORT=$((base + 1000)) make ..."
  done
}
