# shellcheck shell=bash
# An instance: one set of private servers (run, test, crash, bench, ha or clusters), with a folder, ports and secrets of its own.
# Sourced by dev/stack and dev/processes. Nothing here starts or stops anything.
#
#   .gream/NAME/base_port   the port block it was last started with
#   .gream/NAME/secrets     passwords and keys, made once, mode 600
#   .gream/NAME/log/        one log a server and a process
#   .gream/NAME/pid/        who runs: see daemon.sh
#   .gream/NAME/mysql/ rabbitmq/ redis/ pictures/   data
#
# Ports: GREAM_BASE_PORT (default 27600) and the 319 after it. The defaults lie below the range from which Linux takes
# the ports of outgoing connections (32768 and up), so that none of those can be in the way.
#   base + 0    run     the market that `make run` starts
#   base + 40   test    integration tests
#   base + 80   crash   tests that kill servers
#   base + 120  bench   the markets that `make bench` measures
#   base + 160  ha      the market of `make run-ha`, which has 80: see dev/servers/ha.sh
#   base + 240  clusters  the same for tests
# Within an instance's 40:
#   0 MySQL   1 AMQP   2 RabbitMQ's page   3 RabbitMQ's metrics   4 Erlang distribution   5 epmd   6 Redis
#   7 the second MySQL, where a test wants a replica
#   10 API   11 Toss sandbox   20–26 metrics and health of gream's own processes (dev/processes)

readonly DEFAULT_BASE_PORT=27600 PORTS_AN_INSTANCE=40 PORTS_IN_ALL=320
readonly INSTANCES=(run test crash bench ha clusters)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
me=$(id -un)

say() { printf '%s\n' "$*"; }
die() {
  printf 'gream: %s\n' "$*" >&2
  exit 1
}

# The comment at the head of the script that was called.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

# Sets the names that everything below reads: instance, home, base, and the ports.
use_instance() { # NAME
  local i offset=
  for i in "${!INSTANCES[@]}"; do
    [ "${INSTANCES[i]}" != "$1" ] || offset=$((i * PORTS_AN_INSTANCE))
  done
  # After `ha`, which has twice as many.
  [ "$1" != clusters ] || offset=$((offset + PORTS_AN_INSTANCE))
  [ -n "$offset" ] || die "there is no instance '$1': one of ${INSTANCES[*]}"
  instance=$1 home=$root/.gream/$1
  base=$(chosen_base_port)
  local first=$((base + offset))
  # shellcheck disable=SC2034 # read by dev/servers/ha.sh
  first_port=$first
  mysql_port=$first amqp_port=$((first + 1)) management_port=$((first + 2)) rabbitmq_metrics_port=$((first + 3))
  distribution_port=$((first + 4)) epmd_port=$((first + 5)) redis_port=$((first + 6))
  # shellcheck disable=SC2034 # read by dev/servers/mysql.sh and replica.sh
  mysql_name=mysql rabbitmq_name=rabbitmq rabbitmq_node=gream redis_name=redis replica_port=$((first + 7))
  # shellcheck disable=SC2034 # read by dev/processes
  api_port=$((first + 10)) sandbox_port=$((first + 11)) first_admin_port=$((first + 20))
}

# What the caller says, else what this instance was last started with, else the default.
chosen_base_port() {
  local chosen=${GREAM_BASE_PORT:-} most=$((65535 - PORTS_IN_ALL))
  if [ -z "$chosen" ] && [ -s "$home/base_port" ]; then chosen=$(<"$home/base_port"); fi
  chosen=${chosen:-$DEFAULT_BASE_PORT}
  if ! [[ $chosen =~ ^[1-9][0-9]{3,4}$ ]] || [ "$chosen" -gt "$most" ]; then
    die "GREAM_BASE_PORT is '$chosen': a number from 1024 to $most is wanted"
  fi
  printf '%s' "$chosen"
}

# Refuses what another user has left: a server that could read half of its files fails in ways that nobody
# understands. Root may look at a user's instance, stop it and delete it, but not run it: that would leave files there
# that the user cannot read.
refuse_anothers() { # [run]: also when we could read them
  local owner
  [ -e "$root/.gream" ] || return 0
  owner=$(find "$root/.gream" -maxdepth 4 ! -user "$me" -printf '%u\n' -quit 2>/dev/null) || true
  [ -n "$owner" ] || return 0
  if [ $# -eq 0 ] && [ "$me" = root ]; then return 0; fi
  die "files in $root/.gream belong to $owner, and you are $me: gream was run here by $owner before." \
    "Go on as $owner; or forget that data ('make down clean-data' as root), then try again"
}

# Makes the instance's folder, for us alone.
make_home() {
  refuse_anothers run
  mkdir -p "$home"/{log,pid} 2>/dev/null ||
    die "$home cannot be made: $root is not writable for $me (does the checkout belong to another user?)"
  chmod 700 "$root/.gream" "$home"
}

# One command at a time changes an instance: two that start it at once would step on each other.
lock() {
  exec 9>"$home/lock"
  flock --timeout 300 9 || die "another dev/stack or dev/processes works on '$instance' for 5 minutes already"
}

# The secret of that name: made at its first use, the same ever after. Hexadecimal, so that it needs no quoting in
# an address, a configuration file or SQL. Callers hold the instance's lock.
secret() { # NAME
  local file=$home/secrets value
  value=$(sed -n "s/^$1=//p" "$file" 2>/dev/null) || true # no such file yet
  if [ -z "$value" ]; then
    value=$(head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n')
    (umask 077 && printf '%s=%s\n' "$1" "$value" >>"$file")
  fi
  printf '%s' "$value"
}

# What a client needs to know, as KEY=value lines. Tests (acceptance/src/servers.rs) make databases and virtual hosts of
# their own, so theirs are addresses without one; only the instance `crash` may be broken by its tests.
print_env() {
  local mysql rabbitmq redis
  mysql=gream:$(secret mysql_password)@127.0.0.1:$mysql_port
  rabbitmq=gream:$(secret rabbitmq_password)@127.0.0.1
  redis=redis://:$(secret redis_password)@127.0.0.1:$redis_port/0
  if for_tests; then
    say "GREAM_TEST_DATABASE_URL=mysql://$mysql"
    say "GREAM_TEST_DATABASE_ADMIN_URL=mysql://root:$(secret mysql_root_password)@127.0.0.1:$mysql_port"
    say "GREAM_TEST_RABBITMQ_URL=amqp://$rabbitmq:$amqp_port"
    say "GREAM_TEST_RABBITMQ_HTTP=http://$rabbitmq:$management_port"
    say "GREAM_TEST_REDIS_URL=$redis"
    say "GREAM_TEST_REPLICA_URL=mysql://gream:$(secret mysql_password)@127.0.0.1:$replica_port"
    say "GREAM_TEST_REPLICA_ADMIN_URL=mysql://root:$(secret mysql_root_password)@127.0.0.1:$replica_port"
    [ "$instance" != crash ] || say "GREAM_TEST_STACK=$instance"
    ! wants_newest || say "GREAM_TEST_DATABASE_CLIENTS=$(newest_mysql_clients)"
  else
    say "DATABASE_URL=mysql://$mysql/gream"
    say "RABBITMQ_URL=amqp://$rabbitmq:$amqp_port/gream"
    say "RABBITMQ_PAGE=http://127.0.0.1:$management_port"
    say "RABBITMQ_PAGE_USER=admin"
    say "RABBITMQ_PAGE_PASSWORD=$(secret rabbitmq_admin_password)"
    say "RABBITMQ_METRICS=http://127.0.0.1:$rabbitmq_metrics_port/metrics"
    say "REDIS_URL=$redis"
  fi
}

# Is this an instance in which tests make databases and virtual hosts of their own?
for_tests() { [[ $instance == @(test|crash) ]]; }

# May our user make databases, named gream_…?
makes_databases() { for_tests || [ "$instance" = bench ]; }
