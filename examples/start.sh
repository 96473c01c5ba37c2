# Read by each example's `run`: goes to the repository's root, builds the program unless POINTSMAN names a ready one, and ends
# what was started when the script ends.
set -euo pipefail
case "${POINTSMAN:-}" in
  /* | '') ;;
  */*) POINTSMAN="$PWD/$POINTSMAN" ;; # as it is where the script was called; a bare name is looked up in PATH
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${POINTSMAN:-}" ]; then
  cargo build --release --package pointsman
  POINTSMAN="${CARGO_TARGET_DIR:-target}/release/pointsman"
fi
export POINTSMAN

set -m # each in a process group of its own: Ctrl-C reaches the script alone, which then asks each to end, once
trap 'trap "" HUP INT TERM; kill $(jobs -p) 2>/dev/null || true; wait' EXIT # the same signal once more ends no part of this

# start COMMAND…: runs a command of the program beside the script, and tells it with the number of its process.
start() {
  "$POINTSMAN" "$@" &
  echo "pointsman $* # process $!"
}
