# shellcheck shell=bash
# MySQL, or MariaDB where there is no MySQL. As durable as in production: an acknowledged commit survives a crash.
# Sourced by dev/stack. Everything here is about the server mysql_name at mysql_port: see replica.sh.

# The server program and which of the two it is, as "FLAVOUR PROGRAM". On Debian `mysqld` is a link to mariadbd, so
# it is asked. Data stays with the server that made it.
mysql_program() {
  local made='' program flavour
  if wants_newest; then
    need_newest mysql
    printf 'mysql %s/usr/sbin/mysqld' "$(newest_tree mysql)"
    return
  fi
  [ ! -s "$home/$mysql_name/made-by" ] || made=$(<"$home/$mysql_name/made-by")
  for program in mysqld mariadbd; do
    program=$(PATH=$PATH:/usr/local/sbin:/usr/sbin command -v "$program") || continue
    flavour=mysql
    [[ $("$program" --no-defaults --version 2>/dev/null) != *MariaDB* ]] || flavour=mariadb
    [ -z "$made" ] || [ "$made" = "$flavour" ] || continue
    printf '%s %s' "$flavour" "$program"
    return
  done
  [ -z "$made" ] || die "the data in $home/$mysql_name was made by $made, whose server is not on the PATH any more:" \
    "bring it back, or forget the data with 'make clean-data'"
  die "there is neither mysqld nor mariadbd: run 'dev/stack install'"
}

mysql_start() {
  local folder=$home/$mysql_name found flavour program loader=() options=()
  if ! is_alive "$mysql_name"; then
    found=$(mysql_program)
    read -r flavour program <<<"$found"
    if wants_newest; then
      mapfile -t loader < <(newest_mysql_loader)
      mapfile -t options < <(newest_mysql_options)
    fi
    mkdir -p "$folder/tmp"
    mysql_write_config "$flavour"
    [ -e "$folder/made-by" ] || mysql_make_data "$flavour" "${loader[@]}" "$program" --no-defaults "${options[@]}"
    rm -f "$folder"/data/mysql.sock* # MySQL believes a killed server's lock file as long as nobody reaped its pid
    spawn "$mysql_name" "$folder" "${loader[@]}" "$program" --defaults-file="$folder/my.cnf" "${options[@]}"
  fi
  wait_ready "$mysql_name" 90 mysql_ready
}

# The socket's name is relative to the data folder, into which the server changes: a socket's path may have 107 bytes,
# and a checkout may lie deeper. Everything of ours speaks TCP.
mysql_write_config() { # FLAVOUR
  local as_root='' only_here='mysqlx = OFF' pool_mb=${GREAM_MYSQL_POOL_MB:-512} redo=innodb_redo_log_capacity
  [ "$me" != root ] || as_root='user = root'
  [ "$1" = mysql ] || only_here='binlog-format = ROW' redo=innodb_log_file_size
  cat >"$home/$mysql_name/my.cnf" <<CONF
[mysqld]
datadir = "$home/$mysql_name/data"
# Of our own: a MariaDB that starts deletes every temporary table in its folder, also another instance's in /tmp.
tmpdir = "$home/$mysql_name/tmp"
socket = mysql.sock
pid-file = mysql.pid
init-file = "$home/$mysql_name/users.sql"
bind-address = 127.0.0.1
port = $mysql_port
skip-name-resolve
$as_root
max_connections = 400
character-set-server = utf8mb4
innodb_buffer_pool_size = ${pool_mb}M
$redo = $((pool_mb / 4))M

# Off by default in MariaDB, or less than durable.
server-id = $mysql_port
log-bin = binlog
sync_binlog = 1
innodb_flush_log_at_trx_commit = 1
max_binlog_size = 128M
binlog_expire_logs_seconds = 86400
$only_here
CONF
  (umask 077 && mysql_users >"$home/$mysql_name/users.sql")
}

# Read at every start, before the first client. One statement a line.
mysql_users() {
  local host databases='gream'
  ! makes_databases || databases='gream%' # gream, and the caller's own: gream_…
  say 'CREATE DATABASE IF NOT EXISTS gream CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;'
  for host in 127.0.0.1 localhost; do
    say "CREATE USER IF NOT EXISTS gream@'$host';"
    say "ALTER USER gream@'$host' IDENTIFIED BY '$(secret mysql_password)';"
    say "GRANT ALL ON \`$databases\`.* TO gream@'$host';"
    say "CREATE USER IF NOT EXISTS root@'$host';"
    say "ALTER USER root@'$host' IDENTIFIED BY '$(secret mysql_root_password)';"
    say "GRANT ALL ON *.* TO root@'$host' WITH GRANT OPTION;"
  done
}

# A first start that was interrupted leaves no 'made-by', and begins again. Paths are relative: mariadb-install-db
# cannot take a checkout with a blank in its path (and then fails with status 0, hence the second question).
mysql_make_data() ( # FLAVOUR SERVER...: the server's command, to which options can be added
  cd "$home/$mysql_name"
  rm -rf data
  if [ "$1" = mysql ]; then
    make=("${@:2}" --user="$me" --datadir="$PWD/data" --initialize-insecure)
  else
    make=(mariadb-install-db --no-defaults --user="$me" --datadir=./data --skip-test-db
      --auth-root-authentication-method=normal)
  fi
  if ! "${make[@]}" </dev/null >>"$home/log/$mysql_name.log" 2>&1 || [ ! -d data/mysql ]; then
    tail -n 20 "$home/log/$mysql_name.log" >&2
    die "$1 could not make its data folder: the lines above are the end of $home/log/$mysql_name.log"
  fi
  say "$1" >made-by
)

# The server speaks first: packet 0, then protocol version 10. An error (too many connections) begins with 255.
mysql_ready() {
  local greeting
  exec 3<>"/dev/tcp/127.0.0.1/$mysql_port" || return 1
  greeting=$(timeout 2 head -c 5 <&3 | od -An -tu1)
  exec 3>&-
  [[ $greeting =~ \ 0\ +10$ ]]
}

mysql_ports() { say "$mysql_port"; }
mysql_address() { printf '127.0.0.1:%s  %s' "$mysql_port" "$(cat "$home/$mysql_name/made-by" 2>/dev/null)"; }
mysql_stop() { end "$mysql_name" 60; }
