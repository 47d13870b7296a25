# Sourced by the other scripts. Sets $root, the checkout; `ensure_venv` sets $python, the Python of a .venv with the
# locked packages, which it creates or renews if needed. If .venv is ready, that takes little time.

set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python

# The caller's Python settings must affect neither the set-up nor the job.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX

# Until the job handles signals: one line, and the signal's status.
trap 'printf "error: interrupted\n" >&2; exit 130' INT
trap 'printf "error: interrupted\n" >&2; exit 143' TERM

say() { printf 'jaxnn: %s\n' "$*" >&2; }

# Prints "NUMBER VERSION PATH" of a suitable Python (outside any environment), or fails with the reason.
# It runs the candidate: a version manager's command may exist and fail, and some distributions lack ensurepip.
probe() {
  "$1" -I -c '
import os, sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
if sys.implementation.name != "cpython" or "t" in sys.abiflags or sys.maxsize < 2**32:
    sys.exit("is not a standard 64-bit CPython")
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("lacks " + str(error.name))
version = sys.version_info[:3]
print("%d%02d%02d" % version, "%d.%d.%d" % version, os.path.realpath(sys._base_executable))
' 2>&1 </dev/null
}

# Prints probe's line for the newest suitable Python, or for JAXNN_PYTHON: a version, a command or a path.
newest_python() (
  IFS=: names=python3.13:python3.12:python3.11:python3 versions='3.1[123].*'
  case ${JAXNN_PYTHON:-} in
    '') ;;
    3.*) names=python$JAXNN_PYTHON versions=$JAXNN_PYTHON:$JAXNN_PYTHON.* ;;
    *) names='' versions='' ;;
  esac
  set -f --
  if [ -z "$names" ]; then set -- "$(command -v "$JAXNN_PYTHON" || printf %s "$JAXNN_PYTHON")"; fi
  for dir in $PATH; do
    for name in $names; do set -- "$@" "$dir/$name"; done
  done
  for version in $versions; do
    set +f # the pattern is for this folder
    set -- "$@" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/$version/bin/python
  done

  best='0' tried=''
  for candidate; do
    [ -x "$candidate" ] || continue
    if answer=$(probe "$candidate"); then
      if [ "${answer%% *}" -gt "${best%% *}" ]; then best=$answer; fi
    else
      tried="$tried
  $candidate: $(printf '%s\n' "$answer" | head -n 1)"
    fi
  done
  if [ "$best" = 0 ]; then
    say "needs Python 3.11, 3.12 or 3.13 with venv and ensurepip${JAXNN_PYTHON:+; JAXNN_PYTHON is $JAXNN_PYTHON}."
    say "found:${tried:- none}"
    say 'install one with "apt install python3-venv", "brew install python@3.13" or "pyenv install 3.13", or set'
    say 'JAXNN_PYTHON=/path/to/python'
    return 1
  fi
  printf '%s\n' "$best"
)

# Prints the stamp of a finished set-up. A moved checkout counts as a new one.
stamp() { printf '%s\n' "$1" "$root" && cat "$root/requirements.lock" "$root/pyproject.toml" | cksum; }

ready() {
  [ -x "$python" ] && [ -f "$venv/stamp" ] && have=$(probe "$python") &&
    { [ -z "${JAXNN_PYTHON:-}" ] || [ "$(newest_python)" = "$have" ]; } &&
    [ "$(cat "$venv/stamp")" = "$(stamp "$have")" ]
}

install() { "$python" -I -m pip install --quiet --no-input --disable-pip-version-check "$@" >>"$venv/setup.log" 2>&1; }

set_up() {
  # Without a stamp, an installation was interrupted and may be incomplete: start again.
  if [ -f "$venv/stamp" ] && [ "$(probe "$python")" = "$base" ]; then
    say "Renewing ${venv##*/} ..."
    rm "$venv/stamp"
  else
    version=${base#* }
    say "Setting up ${venv##*/} with Python ${version%% *}, a minute or two ..."
    rm -rf "$venv"
    "${version#* }" -I -c '
import runpy, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
runpy.run_module("venv", run_name="__main__")
' "$venv"
  fi
  : >"$venv/setup.log"
  if ! { install --require-hashes -r "$root/requirements.lock" &&
    install --no-deps --no-build-isolation -e "$root"; }; then
    tail -n 5 "$venv/setup.log" >&2
    say "pip failed as above: the Python package index is needed once, for the packages of requirements.lock."
    exit 1
  fi
  stamp "$base" >"$venv/stamp.new"
  mv "$venv/stamp.new" "$venv/stamp"
}

ensure_venv() {
  ready && return
  base=$(newest_python) || exit 1
  version=${base#* }
  # The lock is on the open file, and ends with the last process that has it open: this script, or a pip that
  # outlives it. So there are no stale locks.
  exec 9>"$root/.venv.lock"
  "${version#* }" -I -c '
import fcntl, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("jaxnn: Waiting for another set-up of .venv ...", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'
  ready || set_up
  exec 9>&-
}
