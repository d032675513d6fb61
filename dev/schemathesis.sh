# shellcheck shell=bash
# Schemathesis, in a Python environment of its own outside the checkout. Sourced after instance.sh and steps.sh.

readonly SCHEMATHESIS=4.32.0

# Installs it once, and tells the tests where it is.
have_schemathesis() { # TOOLS
  local home=$1/schemathesis-$SCHEMATHESIS
  export GREAM_TEST_SCHEMATHESIS=$home/bin/schemathesis
  [ ! -x "$GREAM_TEST_SCHEMATHESIS" ] || return 0
  step "installing schemathesis $SCHEMATHESIS into $home (once)"
  python3 -m venv --clear "$home" &&
    "$home/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS"
}
