# shellcheck shell=bash
# What the scripts here share: which client programs fit the server, and where a dump was made. Sourced by them.

say() { printf '%s\n' "$*"; }
die() {
  printf 'backup: %s\n' "$*" >&2
  exit 1
}
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

need_secret_file() { # FILE
  [ -r "$1" ] || die "there is no option file $1"
  [[ $(stat -c %a "$1") == ?00 ]] || die "$1 holds a password, and others may read it: chmod 600 $1"
}

# Each server's own programs: they do not understand each other's binary logs, and MySQL 9 knows no word of the older statements.
# shellcheck disable=SC2034 # read by those that source this
choose_clients() { # OPTIONS_FILE
  local version
  # `mysql` is a link to MariaDB's where only that is installed.
  client=$(command -v mysql || command -v mariadb) || die "there is no client: install mariadb-client or mysql-client"
  version=$("$client" --defaults-extra-file="$1" --batch --skip-column-names -e 'SELECT VERSION()')
  if [[ $version == *MariaDB* ]]; then
    dump=mariadb-dump binlog=mariadb-binlog position_option=--master-data dump_options=()
  else
    client=mysql dump=mysqldump binlog=mysqlbinlog position_option=--source-data dump_options=(--set-gtid-purged=OFF)
  fi
  local program
  for program in "$client" "$dump" "$binlog"; do
    command -v "$program" >/dev/null || die "the server is $version, and $program is not on the PATH"
  done
}

# FILE:POSITION in the binary log, from the head of the dump.
dump_position() { # FOLDER
  [ -e "$1/dump.sql.gz" ] || die "there is no $1/dump.sql.gz: run backup first"
  local line
  line=$(gzip -dc "$1/dump.sql.gz" 2>/dev/null | grep -m 1 -E '^-- CHANGE (MASTER|REPLICATION SOURCE) TO .*_LOG_FILE=' || true)
  [[ $line =~ _LOG_FILE=\'([^\']+)\',\ [A-Z]+_LOG_POS=([0-9]+) ]] || die "$1/dump.sql.gz does not say where it was made"
  say "${BASH_REMATCH[1]}:${BASH_REMATCH[2]}"
}
