#!/bin/bash
# Starts a node of deploy/ha/compose.yml. It joins the others, unless
# - Galera itself wrote down that this node was the last to leave in order (safe_to_bootstrap, with a position in
#   grastate.dat): then nobody knows more, and it begins; or
# - it has no data, and GREAM_NEW_CLUSTER=yes says that nobody has. Never by itself: a first node whose disk was replaced would
#   begin an empty cluster, and the others would throw their data away to join it.
# After a crash of all three they find each other again by what they wrote down themselves (gvwstate.dat).
set -euo pipefail
state=${GREAM_GALERA_DATA:-/var/lib/mysql}/grastate.dat
options=(--wsrep-node-name="$(hostname)")
if [ ! -e "$state" ]; then
  [ "${GREAM_NEW_CLUSTER:-no}" != yes ] || options+=(--wsrep-new-cluster)
# A node that never was in a cluster writes safe_to_bootstrap too, but has no position.
elif grep --quiet '^safe_to_bootstrap: *1' "$state" && grep --quiet '^seqno: *[0-9]' "$state"; then
  options+=(--wsrep-new-cluster)
fi
exec docker-entrypoint.sh mariadbd "${options[@]}"
