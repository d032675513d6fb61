# shellcheck shell=bash
# RabbitMQ, with rabbitmq/'s configuration, plugins and topology. Sourced by dev/stack.
#
# Debian's /usr/sbin/rabbitmq-server switches user and folder, and /etc/rabbitmq belongs to another server: so the
# scripts in RabbitMQ's own folder are called, with every path set. epmd, Erlang's name server, is started here
# on a port of our own: one that the node starts itself outlives it, and nobody knows its pid. Everything here is about the node
# rabbitmq_node, called rabbitmq_name among our processes.

rabbitmq_program() {
  local candidate
  if wants_newest; then
    need_newest rabbitmq
    printf '/usr/lib/rabbitmq/bin/rabbitmq-server' # in its tree
    return
  fi
  for candidate in /usr/lib/rabbitmq/bin /opt/rabbitmq/sbin /usr/local/lib/rabbitmq/sbin; do
    [ ! -x "$candidate/rabbitmq-server" ] || { printf '%s/rabbitmq-server' "$candidate" && return; }
  done
  die "there is no RabbitMQ: run 'dev/stack install'"
}

# The words, one a line, before any command of RabbitMQ's and Erlang's.
rabbitmq_inside() {
  if wants_newest; then newest_rabbitmq_chroot "$home/$rabbitmq_name"; else echo env; fi
}

rabbitmq_start() {
  local folder=$home/$rabbitmq_name program inside
  program=$(rabbitmq_program)
  mkdir -p "$folder/definitions" "$folder/mnesia"
  mapfile -t inside < <(rabbitmq_inside)
  if ! is_alive epmd; then
    spawn epmd "$folder" "${inside[@]}" epmd -port "$epmd_port" -address 127.0.0.1
  fi
  wait_ready epmd 10 listens "$epmd_port"
  if ! is_alive "$rabbitmq_name"; then
    rabbitmq_write_config
    rabbitmq_spawn "${inside[@]}" "$program"
  fi
  wait_ready "$rabbitmq_name" 150 rabbitmq_ready
}

# rabbitmq/rabbitmq.conf with what differs here put behind it: the last line of a key holds.
rabbitmq_write_config() {
  local folder=$home/$rabbitmq_name
  {
    cat "$root/rabbitmq/rabbitmq.conf"
    cat <<CONF

# From here on: what dev/stack sets for the instance '$instance'.
listeners.tcp.default = 127.0.0.1:$amqp_port
management.tcp.ip = 127.0.0.1
management.tcp.port = $management_port
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $rabbitmq_metrics_port
load_definitions = $folder/definitions
$(rabbitmq_cluster)
CONF
  } >"$folder/rabbitmq.conf"
  cp "$root/rabbitmq/enabled_plugins" "$folder/enabled_plugins"
  # A queue that is made while its node is alone has one member for ever: those of a cluster are made when it is whole.
  [ -n "$(rabbitmq_cluster)" ] || cp "$root/rabbitmq/definitions.json" "$folder/definitions/topology.json"
  (umask 077 && rabbitmq_users >"$folder/definitions/users.json")
}

# Read at every start. `gream` is what the application is; `admin` is for people and their page (moving messages needs
# the administrator tag), and `monitor` may only look. Tests make virtual hosts, so there `gream` is an administrator too.
rabbitmq_users() {
  local tags='' all='"configure": ".*", "write": ".*", "read": ".*"'
  ! for_tests || tags=administrator
  cat <<JSON
{
  "users": [
    {"name": "gream", "password": "$(secret rabbitmq_password)", "tags": "$tags"},
    {"name": "admin", "password": "$(secret rabbitmq_admin_password)", "tags": "administrator"},
    {"name": "monitor", "password": "$(secret rabbitmq_monitor_password)", "tags": "monitoring"}
  ],
  "vhosts": [{"name": "gream"}],
  "permissions": [
    {"user": "gream", "vhost": "gream", $all},
    {"user": "admin", "vhost": "gream", $all}
  ]
}
JSON
}

rabbitmq_spawn() { # ENV... PROGRAM: `env`, or words that end in it
  local folder=$home/$rabbitmq_name
  spawn "$rabbitmq_name" "$folder" "${@:1:$#-1}" HOME="$folder" \
    ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd_port" RABBITMQ_DIST_PORT="$distribution_port" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    RABBITMQ_NODENAME=$rabbitmq_node@localhost RABBITMQ_MNESIA_BASE="$folder/mnesia" RABBITMQ_LOG_BASE="$folder" \
    RABBITMQ_LOGS=- RABBITMQ_GENERATED_CONFIG_DIR="$folder/generated" RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" RABBITMQ_CONFIG_FILES= \
    RABBITMQ_ADVANCED_CONFIG_FILE="$folder/none" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins" \
    RUNNING_UNDER_SYSTEMD=true "${@: -1}" # so that the script becomes the node, instead of its parent
}

# The broker's own tool. It finds the node by the same cookie, name and name server.
rabbitmq_ctl() { # ARGUMENT...
  local folder=$home/$rabbitmq_name program inside
  program=$(rabbitmq_program)
  mapfile -t inside < <(rabbitmq_inside)
  "${inside[@]}" HOME="$folder" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd_port" RABBITMQ_NODENAME=$rabbitmq_node@localhost \
    RABBITMQ_MNESIA_BASE="$folder/mnesia" RABBITMQ_LOG_BASE="$folder" RABBITMQ_CONF_ENV_FILE=/dev/null \
    "${program%/*}/rabbitmqctl" "$@"
}

# A client's greeting, answered by Connection.Start (class 10, method 10), and the page and metrics, which some
# versions open a moment later. rabbitmqctl would start an Erlang machine for each question.
rabbitmq_ready() {
  local answer
  listens "$management_port" && listens "$rabbitmq_metrics_port" || return 1
  exec 3<>"/dev/tcp/127.0.0.1/$amqp_port" || return 1
  printf 'AMQP\0\0\11\1' >&3
  answer=$(timeout 5 head -c 11 <&3 | od -An -tu1)
  exec 3>&-
  [[ $answer =~ ^\ +1\ .*\ 0\ +10\ +0\ +10$ ]]
}

# epmd survives a node that was killed, and then its port is ours already.
rabbitmq_ports() {
  is_alive epmd || printf '%s ' "$epmd_port"
  say "$amqp_port $management_port $rabbitmq_metrics_port $distribution_port"
}
rabbitmq_address() { printf '127.0.0.1:%s  page http://127.0.0.1:%s' "$amqp_port" "$management_port"; }
rabbitmq_stop() {
  end "$rabbitmq_name" 60
  end epmd 5
}

# Lines of configuration that make the node one of several. Alone here; see ha.sh.
rabbitmq_cluster() { :; }
