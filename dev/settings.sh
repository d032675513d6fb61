# shellcheck shell=bash
# How gream's own processes are configured in the demo: the one table of their settings. What is not here is as in
# platform/src/config/default.toml. Sourced after instance.sh and daemon.sh.

# Every process of the instance, in the order in which they start: one of each for `make run`; for `make run-ha` two of each
# but Toss's sandbox, some roles together, as two cores allow.
choose_processes() {
  case $instance in
  ha | clusters) PROCESSES=(sandbox api1 api2 bid1 bid2 money1 money2 events1 events2 scheduler1 scheduler2) ;;
  *) PROCESSES=(sandbox api bid payment refund relay notifier scheduler) ;;
  esac
}

arguments_of() { # PROCESS; one word a line
  case $1 in
  sandbox) printf '%s\n' sandbox --listen "127.0.0.1:$sandbox_port" --journal "$home/sandbox.jsonl" \
    --clock-file "$home/clock_offset_ms" --webhooks "http://127.0.0.1:$api_port/api/payments/toss/webhook" ;;
  api*) say api ;;
  money?) printf '%s\n' worker payment refund ;;
  events?) printf '%s\n' worker relay notifier ;;
  *) printf '%s\n' worker "${1%[12]}" ;;
  esac
}

# Metrics and health: each process has a port of its own, in the order of PROCESSES.
admin_port_of() { # PROCESS
  local i
  for i in "${!PROCESSES[@]}"; do
    [ "${PROCESSES[i]}" != "$1" ] || say $((first_admin_port + i))
  done
}

# The demo's administrator. A password needs a lower-case letter and a digit, and has at most 30 characters.
readonly ADMIN_LOGIN_ID=admin
admin_password() { printf 'a1%.28s' "$(secret admin_password)"; }

# KEY=value lines, the same for every process but its admin port: the whole crowd of a market day has one address, so
# the limits by address are lifted. Call it with the instance's lock.
print_settings() { # [PROCESS]
  if [[ $instance == @(ha|clusters) ]]; then print_clusters; else print_servers; fi
  cat <<ENV
GREAM__MODE=demo
GREAM__MONITOR__RABBITMQ_PAGE=http://monitor:$(secret rabbitmq_monitor_password)@127.0.0.1:$management_port
GREAM__HTTP__LISTEN=127.0.0.1:$(http_port_of "${1:-api}")
GREAM__HTTP__PUBLIC_URL=http://127.0.0.1:$api_port
GREAM__TOSS__BASE_URL=http://127.0.0.1:$sandbox_port
GREAM__TOSS__SECRET_KEY=test_sk_$(secret toss_secret_key)
GREAM__AUTH__JWT_SECRET=$(secret jwt_secret)
GREAM__AUTH__ADDRESS_SECRET=$(secret address_secret)
GREAM__ACCOUNT_CIPHER__KEY=$(secret account_cipher_key)
GREAM__PICTURES__FOLDER=$home/pictures
GREAM__CLOCK__OFFSET_FILE=$home/clock_offset_ms
GREAM__MARKET__SIGN_UP_GIFT=100000
GREAM__RATE_LIMITS__LOGINS_PER_ADDRESS=1000000
GREAM__RATE_LIMITS__SIGN_UPS_PER_ADDRESS=1000000
ENV
  [ $# -eq 0 ] || say "GREAM__ADMIN__LISTEN=127.0.0.1:$(admin_port_of "$1")"
}

print_servers() {
  cat <<ENV
GREAM__DATABASE__URL=mysql://gream:$(secret mysql_password)@127.0.0.1:$mysql_port/gream
GREAM__RABBITMQ__URL=amqp://gream:$(secret rabbitmq_password)@127.0.0.1:$amqp_port/gream
GREAM__REDIS__URL=redis://:$(secret redis_password)@127.0.0.1:$redis_port/0
ENV
}

# All nodes; the first one of the database's takes the writes while it is well, and the others the reads. What comes through
# HAProxy is told apart by the address that it adds. An API that leaves says so for as long as HAProxy takes to notice.
print_clusters() {
  local first=$((base + 160)) login=gream:$(secret mysql_password) broker
  broker=amqp://gream:$(secret rabbitmq_password)
  cat <<ENV
GREAM__DATABASE__URL=mysql://$login@127.0.0.1:$((first + 40))/gream,mysql://$login@127.0.0.1:$((first + 41))/gream,mysql://$login@127.0.0.1:$((first + 42))/gream
GREAM__DATABASE__REPLICA_URL=mysql://$login@127.0.0.1:$((first + 41))/gream,mysql://$login@127.0.0.1:$((first + 42))/gream
GREAM__RABBITMQ__URL=$broker@127.0.0.1:$((first + 52))/gream,$broker@127.0.0.1:$((first + 53))/gream,$broker@127.0.0.1:$((first + 54))/gream
GREAM__REDIS__URL=redis-sentinel://:$(secret redis_password)@127.0.0.1:$((first + 66)),127.0.0.1:$((first + 67)),127.0.0.1:$((first + 68))/0#gream
GREAM__HTTP__TRUSTED_PROXIES=127.0.0.1
GREAM__SHUTDOWN__ANNOUNCE_MS=2000
ENV
}

# Where an API listens: alone, at the address that clients use; else behind HAProxy, which has that one.
http_port_of() { # PROCESS
  case $1 in
  api[12]) say $((base + 160 + 68 + ${1#api})) ;;
  *) say "$api_port" ;;
  esac
}

# For `gream load`, `gream audit` and the like beside the above: the same market, seen from outside.
print_client_settings() {
  cat <<ENV
GREAM_API=http://127.0.0.1:$api_port
GREAM_SANDBOX=http://127.0.0.1:$sandbox_port
GREAM_RABBITMQ_PAGE=http://admin:$(secret rabbitmq_admin_password)@127.0.0.1:$management_port
GREAM_JOURNAL=$home/journal.jsonl
GREAM_ADMIN_LOGIN_ID=$ADMIN_LOGIN_ID
GREAM_ADMIN_PASSWORD=$(admin_password)
ENV
}

# The release binary, where cargo puts it.
gream_binary() { printf '%s/release/gream' "${CARGO_TARGET_DIR:-$root/target}"; }

# Runs COMMAND with settings in its environment: on its command line every user could read them.
with_settings() ( # PROCESS|client COMMAND...
  if [ "$1" = client ]; then
    lines=$(print_settings && print_client_settings)
  else
    lines=$(print_settings "$1")
  fi
  shift
  while read -r line; do export "${line?}"; done <<<"$lines"
  "$@"
)
