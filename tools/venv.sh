#!/bin/bash
# Makes the virtual environment .venv with vpndiag in it (and "dev": what the tests need), and
# prints the path of its Python. Does nothing when that is done already. Python 3.11 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extra=${1:-}
venv=${VPNDIAG_VENV:-$PWD/.venv}
done_file=$venv/.vpndiag-${extra:-run}

if [ "$done_file" -nt pyproject.toml ]; then
  echo "$venv/bin/python"
  exit 0
fi
python=
for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { echo "venv.sh: Python 3.11 or newer is needed (apt-get install python3)" >&2; exit 1; }
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv; } >&2
  else
    echo "venv.sh: Python's venv module is missing (apt-get install python3-venv)" >&2
    exit 1
  fi
fi
echo "Setting up $venv (once) ..." >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" >&2
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable ".${extra:+[$extra]}" >&2
touch "$done_file"
echo "$venv/bin/python"
