# shellcheck shell=bash
# Redis: an accelerator only, so nothing of it is kept on disk. Sourced by dev/stack.

redis_start() {
  local folder=$home/$redis_name
  if ! is_alive "$redis_name"; then
    mkdir -p "$folder"
    (umask 077 && cat >"$folder/redis.conf") <<CONF
bind 127.0.0.1
port $redis_port
dir "$folder"
requirepass $(secret redis_password)
masterauth $(secret redis_password)
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
$(redis_replication)
CONF
    spawn "$redis_name" "$folder" redis-server "$folder/redis.conf"
  fi
  wait_ready "$redis_name" 20 redis_ready
}

# Asking for a password is an answer too.
redis_ready() {
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/$redis_port" || return 1
  printf 'PING\r\n' >&3
  read -r -t 2 answer <&3
  exec 3>&-
  [[ $answer == -NOAUTH* || $answer == +PONG* ]]
}

redis_ports() { say "$redis_port"; }
redis_address() { printf '127.0.0.1:%s' "$redis_port"; }
redis_stop() { end "$redis_name" 10; }

# Lines of configuration for one that follows another. Alone here; see ha.sh.
redis_replication() { :; }
