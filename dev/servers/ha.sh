# shellcheck shell=bash
# The nodes of the highly available stack: three of RabbitMQ, three of MariaDB's Galera cluster, two of Redis with three
# sentinels, and HAProxy before the APIs. Sourced by dev/ha after rabbitmq.sh and redis.sh, whose functions it calls for one node after
# the other. No promotion of our own: each cluster decides for itself.
#
# Ports from the instance's 40th on, by the node's number N from 1:
#   40 MySQL   43 Galera   46 its incremental and 49 its whole state transfers   52 AMQP   55 RabbitMQ's page   58 its metrics
#   61 Erlang distribution   64 Redis   66 sentinels   69 APIs   71 HAProxy's own page
# shellcheck disable=SC2034 # names that rabbitmq.sh and redis.sh read

readonly HA_NODES=(mysql1 mysql2 mysql3 rabbitmq1 rabbitmq2 rabbitmq3 redis1 redis2 sentinel1 sentinel2 sentinel3 haproxy)
readonly GALERA_LIBRARY=/usr/lib/galera/libgalera_smm.so

ha_port() { say $((first_port + $1 + $2 - 1)); } # OFFSET NUMBER

# --- RabbitMQ -------------------------------------------------------------------------------------------------------
as_rabbitmq() { # NUMBER COMMAND...
  local rabbitmq_name=rabbitmq$1 rabbitmq_node=gream$1 amqp_port management_port rabbitmq_metrics_port distribution_port
  amqp_port=$(ha_port 52 "$1") management_port=$(ha_port 55 "$1")
  rabbitmq_metrics_port=$(ha_port 58 "$1") distribution_port=$(ha_port 61 "$1")
  shift
  "$@"
}

# A node that has lost the other two stops serving until it sees one of them: nobody writes on both sides of a cut.
rabbitmq_cluster() {
  local number
  say 'cluster_formation.peer_discovery_backend = classic_config'
  for number in 1 2 3; do say "cluster_formation.classic_config.nodes.$number = gream$number@localhost"; done
  say 'cluster_partition_handling = pause_minority'
}

# Erlang's nodes trust whoever has the same cookie.
rabbitmq_node_start() {
  mkdir -p "$home/$rabbitmq_name"
  (umask 077 && [ -s "$home/$rabbitmq_name/.erlang.cookie" ] || secret erlang_cookie >"$home/$rabbitmq_name/.erlang.cookie")
  chmod 400 "$home/$rabbitmq_name/.erlang.cookie"
  rabbitmq_start
}

# Policies and queues, once all three are there: each queue is made on all of them.
rabbitmq_settle() {
  as_rabbitmq 1 rabbitmq_ctl --silent await_online_nodes 3 --timeout 60 >/dev/null ||
    die "RabbitMQ's three nodes are not one cluster: see $home/log"
  as_rabbitmq 1 rabbitmq_ctl --silent import_definitions "$root/rabbitmq/definitions.json" >/dev/null
}

# --- MariaDB Galera -------------------------------------------------------------------------------------------------
# Root's servers run as the user mysql: a state transfer by rsync drops root's rights and would then write nothing. What
# that user needs lies outside the checkout, which may be root's alone.
galera_home() {
  if [ "$me" = root ]; then printf '/var/tmp/gream-%s-%s' "$instance" "$(printf '%s' "$root" | cksum | cut -d' ' -f1)"; else say "$home/galera"; fi
}

galera_as() { # COMMAND...: the words before it
  if [ "$me" = root ]; then printf '%s\n' setpriv --reuid=mysql --regid=mysql --init-groups; else printf '%s\n' env; fi
}

galera_config() { # NUMBER
  local folder
  folder=$(galera_home)/mysql$1
  # Socket, pid file and temporary files outside the data folder: a state transfer empties it.
  cat <<CONF
[mysqld]
datadir = "$folder/data"
tmpdir = "$folder/tmp"
socket = "$folder/mysql.sock"
pid-file = "$folder/mysql.pid"
bind-address = 127.0.0.1
port = $(ha_port 40 "$1")
skip-name-resolve
max_connections = 400
character-set-server = utf8mb4
innodb_buffer_pool_size = 192M
innodb_flush_log_at_trx_commit = 1
binlog_format = ROW
innodb_autoinc_lock_mode = 2

wsrep_on = ON
wsrep_provider = $GALERA_LIBRARY
wsrep_cluster_name = gream
wsrep_cluster_address = gcomm://127.0.0.1:$(ha_port 43 1),127.0.0.1:$(ha_port 43 2),127.0.0.1:$(ha_port 43 3)
wsrep_node_name = mysql$1
wsrep_node_address = 127.0.0.1:$(ha_port 43 "$1")
wsrep_node_incoming_address = 127.0.0.1:$(ha_port 40 "$1")
wsrep_sst_method = rsync
wsrep_sst_receive_address = 127.0.0.1:$(ha_port 49 "$1")
wsrep_slave_threads = 2
# One node takes the writes at a time, so ids need no steps between them.
wsrep_auto_increment_control = OFF
# A dead node is left after three seconds instead of ten; a busy one is not suspected within the first.
wsrep_provider_options = "base_port=$(ha_port 43 "$1"); gmcast.listen_addr=tcp://127.0.0.1:$(ha_port 43 "$1"); ist.recv_addr=127.0.0.1:$(ha_port 46 "$1"); ist.recv_bind=127.0.0.1:$(ha_port 46 "$1"); gcache.size=64M; evs.keepalive_period=PT0.5S; evs.inactive_check_period=PT0.5S; evs.suspect_timeout=PT2S; evs.inactive_timeout=PT6S; evs.install_timeout=PT6S"
CONF
}

galera_users() {
  say 'CREATE DATABASE IF NOT EXISTS gream CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;'
  local user password databases
  # Installed without a password, root is there already.
  for user in gream:mysql_password:'`gream%`.*' root:mysql_root_password:'*.*'; do
    IFS=: read -r user password databases <<<"$user"
    say "CREATE USER IF NOT EXISTS $user@'127.0.0.1';"
    say "ALTER USER $user@'127.0.0.1' IDENTIFIED BY '$(secret "$password")';"
    say "GRANT ALL ON $databases TO $user@'127.0.0.1' WITH GRANT OPTION;"
  done
}

galera_make_home() { # NUMBER
  local folder
  folder=$(galera_home)/mysql$1
  mkdir -p "$folder/tmp" "$folder/data"
  chmod 711 "$(galera_home)"
  galera_config "$1" >"$folder/my.cnf"
  [ "$me" != root ] || chown -R mysql:mysql "$folder"
}

# The first node of a cluster that never was: its data, and the users that the others get with it.
galera_make_data() {
  local folder as
  folder=$(galera_home)/mysql1
  mapfile -t as < <(galera_as)
  (cd "$folder" && "${as[@]}" mariadb-install-db --no-defaults --datadir=./data --skip-test-db \
    --auth-root-authentication-method=normal </dev/null >>"$home/log/mysql1.log" 2>&1) || true
  [ -d "$folder/data/mysql" ] || die "the first database node could not make its data folder: see $home/log/mysql1.log"
}

galera_spawn() { # NUMBER OPTION...
  local folder as program
  folder=$(galera_home)/mysql$1
  program=$(PATH=$PATH:/usr/local/sbin:/usr/sbin command -v mariadbd) || die "there is no mariadbd: run 'dev/ha install'"
  mapfile -t as < <(galera_as)
  rm -f "$folder/mysql.sock"*
  spawn "mysql$1" "$folder" "${as[@]}" "$program" --defaults-file="$folder/my.cnf" "${@:2}"
}

# It has everything that the cluster has.
galera_is_synced() { # NUMBER
  local state
  state=$(MYSQL_PWD=$(secret mysql_root_password) timeout 5 mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P"$(ha_port 40 "$1")" \
    -uroot --batch --skip-column-names -e "SHOW STATUS LIKE 'wsrep_local_state'" 2>/dev/null | cut -f2)
  [ "$state" = 4 ]
}

galera_join() { # NUMBER
  is_alive "mysql$1" || { galera_make_home "$1" && galera_spawn "$1"; }
  wait_ready "mysql$1" 120 galera_is_synced "$1"
}

# How far a stopped node had come: what it wrote when it stopped, else what its tables say; -1 for one without data.
galera_position() { # NUMBER
  local folder position as
  folder=$(galera_home)/mysql$1
  [ -d "$folder/data/mysql" ] || { say -1 && return; }
  position=$(sed -n 's/^seqno: *//p' "$folder/data/grastate.dat" 2>/dev/null)
  if [ "${position:--1}" = -1 ]; then
    mapfile -t as < <(galera_as)
    position=$("${as[@]}" "$(PATH=$PATH:/usr/sbin command -v mariadbd)" --defaults-file="$folder/my.cnf" --wsrep-recover 2>&1 |
      sed -n 's/.*Recovered position: *[0-9a-f-]*:\(-\{0,1\}[0-9]*\).*/\1/p' | tail -n 1)
  fi
  say "${position:--1}"
}

# All three are down: the one that has most begins, and the others get what they miss.
galera_bootstrap() {
  local number first=1 most=-2 position folder init
  for number in 1 2 3; do
    galera_make_home "$number"
    position=$(galera_position "$number")
    [ "$position" -le "$most" ] || first=$number most=$position
  done
  folder=$(galera_home)/mysql$first
  [ -d "$folder/data/mysql" ] || galera_make_data
  ! [ -e "$folder/data/grastate.dat" ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$folder/data/grastate.dat"
  init=$folder/users.sql
  (umask 077 && galera_users >"$init")
  [ "$me" != root ] || chown mysql: "$init"
  galera_spawn "$first" --wsrep-new-cluster --init-file="$init"
  wait_ready "mysql$first" 120 galera_is_synced "$first"
}

galera_any_alive() { is_alive mysql1 || is_alive mysql2 || is_alive mysql3; }

galera_start() {
  local number pids=() pid failed=0
  galera_any_alive || galera_bootstrap
  for number in 1 2 3; do
    (galera_join "$number") &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

# --- Redis and its sentinels ----------------------------------------------------------------------------------------
as_redis() { # NUMBER COMMAND...
  local redis_name=redis$1 redis_port number=$1
  redis_port=$(ha_port 64 "$1")
  shift
  redis_replication() { [ "$number" = 1 ] || say "replicaof 127.0.0.1 $(ha_port 64 1)"; }
  "$@"
}

# A sentinel keeps what it knows in its own configuration: it is written once for each block of ports.
sentinel_start() { # NUMBER
  local folder=$home/sentinel$1
  if ! is_alive "sentinel$1"; then
    mkdir -p "$folder"
    grep -qsx "port $(ha_port 66 "$1")" "$folder/sentinel.conf" || (umask 077 && cat >"$folder/sentinel.conf") <<CONF
bind 127.0.0.1
port $(ha_port 66 "$1")
dir "$folder"
sentinel monitor gream 127.0.0.1 $(ha_port 64 1) 2
sentinel auth-pass gream $(secret redis_password)
sentinel down-after-milliseconds gream 2000
sentinel failover-timeout gream 6000
CONF
    spawn "sentinel$1" "$folder" redis-server "$folder/sentinel.conf" --sentinel
  fi
  wait_ready "sentinel$1" 20 listens "$(ha_port 66 "$1")"
}

# --- HAProxy --------------------------------------------------------------------------------------------------------
# An API is asked twice a second whether it is ready. A request is sent to another one only when no connection was had: what was sent
# may have been done, and its client repeats it under its own Idempotency-Key. RabbitMQ's page is any node's.
haproxy_config() {
  cat <<CONF
global
    maxconn 4000
    stats socket $home/haproxy/socket mode 600 level admin
defaults
    timeout connect 2s
    timeout client 70s
    timeout server 70s
frontend users
    mode http
    bind 127.0.0.1:$api_port
    option forwardfor
    default_backend apis
backend apis
    mode http
    option httpchk GET /health/ready
    option redispatch
    retry-on conn-failure
    retries 2
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
    server api1 127.0.0.1:$(ha_port 69 1) check port $(admin_port_of api1)
    server api2 127.0.0.1:$(ha_port 69 2) check port $(admin_port_of api2)
frontend page
    mode tcp
    bind 127.0.0.1:$management_port
    default_backend pages
backend pages
    mode tcp
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
    server rabbitmq1 127.0.0.1:$(ha_port 55 1) check
    server rabbitmq2 127.0.0.1:$(ha_port 55 2) check backup
    server rabbitmq3 127.0.0.1:$(ha_port 55 3) check backup
frontend statistics
    mode http
    bind 127.0.0.1:$(ha_port 71 1)
    stats enable
    stats uri /
CONF
}

haproxy_start() {
  local program
  program=$(PATH=$PATH:/usr/local/sbin:/usr/sbin command -v haproxy) || die "there is no haproxy: run 'dev/ha install'"
  if ! is_alive haproxy; then
    mkdir -p "$home/haproxy"
    haproxy_config >"$home/haproxy/haproxy.cfg"
    spawn haproxy "$home/haproxy" "$program" -db -f "$home/haproxy/haproxy.cfg"
  fi
  wait_ready haproxy 10 listens "$api_port"
}

# --- one node, by its name ------------------------------------------------------------------------------------------
node_start() { # NODE
  local number=${1: -1}
  if is_frozen "$1"; then signal "$1" CONT; fi
  case $1 in
  mysql?)
    galera_any_alive || galera_bootstrap # by the one that has most, whoever was asked for
    galera_join "$number"
    ;;
  rabbitmq?) as_rabbitmq "$number" rabbitmq_node_start ;;
  redis?) as_redis "$number" redis_start ;;
  sentinel?) sentinel_start "$number" ;;
  haproxy) haproxy_start ;;
  esac
}

node_address() { # NODE
  local number=${1: -1}
  case $1 in
  mysql?) printf '127.0.0.1:%s' "$(ha_port 40 "$number")" ;;
  rabbitmq?) printf '127.0.0.1:%s  page http://127.0.0.1:%s' "$(ha_port 52 "$number")" "$(ha_port 55 "$number")" ;;
  redis?) printf '127.0.0.1:%s' "$(ha_port 64 "$number")" ;;
  sentinel?) printf '127.0.0.1:%s' "$(ha_port 66 "$number")" ;;
  haproxy) printf 'http://127.0.0.1:%s  page http://127.0.0.1:%s' "$api_port" "$(ha_port 71 1)" ;;
  esac
}
