# shellcheck shell=bash disable=SC2034,SC2154
# Virtual environments inside the repository, under .vizinho/. Needs terminal.sh; `repository` is the path of the checkout.

# Makes a virtual environment, or brings it up to date when what is asked of it has changed.
#   python_environment FOLDER PIP-ARGUMENT…     (the arguments name packages, or files with -r, or folders with -e)
python_environment() {
  local folder=$1 wanted stamp argument
  shift
  # The stamp holds what was asked for, with the contents of the files, so that an edit installs again.
  wanted=$(
    printf '%s\n' "$@"
    for argument in "$@"; do
      if [[ -f $argument ]]; then cat "$argument"; fi
      if [[ -f ${argument%%\[*}/pyproject.toml ]]; then cat "${argument%%\[*}/pyproject.toml"; fi
    done
  )
  stamp=$folder/vizinho-installed
  if [[ -f $stamp && $(< "$stamp") == "$wanted" ]] && "$folder/bin/python" -c '' 2> /dev/null; then
    return 0
  fi
  note "preparing ${folder#"$repository"/} (Python packages from PyPI)"
  # One whose Python has gone, say with an upgrade of the system, is of no use.
  "$folder/bin/python" -c '' 2> /dev/null || rm -rf "$folder"
  [[ -d $folder ]] || python3 -m venv "$folder" || fail "python3 could not make a virtual environment in $folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" < /dev/null \
    || fail "pip could not install: $*"
  printf '%s\n' "$wanted" > "$stamp"
}

# The environment that the scripts use: NumPy, psycopg, pgvector and our own client. Sets `python`.
scripts_python() {
  python_environment "$repository/.vizinho/venv" -r "$repository/scripts/lib/requirements.txt" \
    -e "$repository/clients/python"
  python=$repository/.vizinho/venv/bin/python
}

# The same with the linters and the test runner.
checks_python() {
  python_environment "$repository/.vizinho/venv-checks" -r "$repository/scripts/lib/requirements.txt" \
    -r "$repository/scripts/lib/requirements-checks.txt" -e "$repository/clients/python[dev]"
  python=$repository/.vizinho/venv-checks/bin/python
}
