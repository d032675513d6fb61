# shellcheck shell=bash
# Which servers an instance runs: the machine's own, or the newest MySQL and RabbitMQ, which `make test-newest` tests
# against. Sourced by dev/stack before mysql.sh and rabbitmq.sh, which know everything else about the two.
#
# The newest ones are another Debian suite's, unpacked into a folder of their own (NEWEST_TREES) by the scripts in
# NEWEST_TOOLS; nothing of the machine's own packages changes. They need libraries that are newer than the machine's:
# MySQL gets its own loader and libraries, RabbitMQ and its Erlang a chroot, and that needs root.

readonly NEWEST_TOOLS=${GREAM_NEWEST_TOOLS:-$root/../shared/tools}
readonly NEWEST_TREES=${GREAM_TOOLS:-${HOME:-/root}/.cache/gream/tools}/newest

# own or newest: what the caller says (GREAM_SERVERS), else what made this instance's data, else the machine's own.
chosen_servers() {
  local chosen=${GREAM_SERVERS:-}
  chosen=${chosen:-$(made_by_servers)}
  chosen=${chosen:-own}
  [[ $chosen == @(own|newest) ]] || die "GREAM_SERVERS is '$chosen': own or newest is wanted"
  printf '%s' "$chosen"
}
wants_newest() { [ "$(chosen_servers)" = newest ]; }

made_by_servers() {
  if [ -s "$home/servers" ]; then
    printf '%s' "$(<"$home/servers")"
  elif [ -e "$home/mysql" ]; then
    printf own
  fi
}

# Data stays with the servers that made it: another version may refuse it, or never give it back.
settle_servers() {
  local chosen made
  chosen=$(chosen_servers) made=$(made_by_servers)
  [ -z "$made" ] || [ "$made" = "$chosen" ] ||
    die "the data of '$instance' was made with GREAM_SERVERS=$made, and $chosen is wanted: forget that data first, with" \
      "'dev/stack clean $instance'"
  printf '%s\n' "$chosen" >"$home/servers"
}

# Fetches what is missing, once: some 700 MB.
install_newest() {
  local tool
  [ "$me" = root ] || die "the newest RabbitMQ runs in a chroot: run this as root"
  for tool in real-mysql real-rabbitmq4; do
    [ -x "$NEWEST_TOOLS/$tool" ] ||
      die "make test-newest needs the scripts real-mysql and real-rabbitmq4, which fetch MySQL 9 and RabbitMQ 4 for" \
        "Debian, in $(realpath -m "$NEWEST_TOOLS"). Put them there, or say where they are:" \
        "make test-newest GREAM_NEWEST_TOOLS=folder"
  done
  [ -e "$(newest_tree mysql)/.packages" ] || "$NEWEST_TOOLS/real-mysql" install "$NEWEST_TREES/mysql"
  [ -e "$(newest_tree rabbitmq)/.packages" ] || "$NEWEST_TOOLS/real-rabbitmq4" install "$NEWEST_TREES/rabbitmq"
}

newest_tree() { printf '%s/%s/root' "$NEWEST_TREES" "$1"; } # mysql|rabbitmq

# Refuses where nothing was installed.
need_newest() { # mysql|rabbitmq
  [ -e "$(newest_tree "$1")/.packages" ] || die "there is no newest $1 in $NEWEST_TREES: GREAM_SERVERS=newest dev/stack install"
}

# The words, one a line, before a program of MySQL's tree, so that it runs with the tree's libraries. The machine's
# OpenSSL configuration is for another OpenSSL.
newest_mysql_loader() {
  local libraries
  libraries=$(dirname "$(newest_tree mysql)"/usr/lib/*-linux-gnu*/ld-linux*.so.*)
  printf '%s\n' env OPENSSL_CONF=/dev/null OPENSSL_MODULES="$libraries/ossl-modules" \
    "$libraries"/ld-linux*.so.* --inhibit-cache --library-path "$libraries"
}

# A folder with MySQL's own client programs, as commands that anybody can run: for what speaks to the newest server by them.
newest_mysql_clients() {
  local folder=$home/mysql/clients program words=()
  mapfile -t words < <(newest_mysql_loader)
  mkdir -p "$folder"
  for program in mysql mysqldump mysqlbinlog; do
    {
      say '#!/usr/bin/env bash'
      printf 'exec %s "$@"\n' "$(printf '%q ' "${words[@]}" "$(newest_tree mysql)/usr/bin/$program")"
    } >"$folder/$program"
    chmod +x "$folder/$program"
  done
  printf '%s' "$folder"
}

# Where MySQL finds its own files. Its default for secure-file-priv is a folder that only a package's installation makes.
newest_mysql_options() {
  local tree
  tree=$(newest_tree mysql)
  printf '%s\n' --basedir="$tree/usr" --plugin-dir="$tree/usr/lib/mysql/plugin" --secure-file-priv=NULL
}

# The words, one a line, before a command in RabbitMQ's tree, which sees FOLDER where it is outside. All mounts are in a
# namespace of their own: none is seen outside, none is left behind. The pid stays the same.
newest_rabbitmq_chroot() { # FOLDER
  # shellcheck disable=SC2016 # these $ are the inner shell's
  local enter='set -e; tree=$1 folder=$2; shift 2; mkdir -p "$tree$folder"; mount --rbind /dev "$tree/dev"'
  # shellcheck disable=SC2016
  enter+='; mount --rbind /proc "$tree/proc"; mount --bind "$folder" "$tree$folder"; exec chroot "$tree" "$@"'
  printf '%s\n' unshare --mount sh -c "$enter" sh "$(newest_tree rabbitmq)" "$1" \
    /usr/bin/env LANG=C.UTF-8 PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin
}
