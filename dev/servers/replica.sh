# shellcheck shell=bash
# A second MySQL beside the first, with data, port and log of its own, and the same users: for tests that read from a
# replica. It begins empty; the test tells it what to replicate. Sourced by dev/stack after mysql.sh, whose functions it
# borrows under another name.
# shellcheck disable=SC2034 # mysql.sh reads them

replica_start() { local mysql_name=replica mysql_port=$replica_port && mysql_start; }
replica_ready() { local mysql_port=$replica_port && mysql_ready; }
replica_ports() { say "$replica_port"; }
replica_address() { local mysql_name=replica mysql_port=$replica_port && mysql_address; }
replica_stop() { local mysql_name=replica && mysql_stop; }
