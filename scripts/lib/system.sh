# shellcheck shell=bash disable=SC2034
# What the scripts need from the system: Debian packages, installed only where missing, and a Swift toolchain, which is
# only looked for. Needs terminal.sh.

# Says which Debian package gives what a command checks for; installed when the check fails.
#   need PACKAGE CHECK…
missing_packages=()
need() {
  local package=$1
  shift
  "$@" > /dev/null 2>&1 || missing_packages+=("$package")
}

# Everything that a build and the Python side need. Checks what the package is for, not the package, so that a library or
# a tool that came another way counts.
need_for_build() {
  need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
  need git command -v git
  need pkg-config command -v pkg-config
  need libopenblas-dev pkg-config --exists openblas
  need liblz4-dev pkg-config --exists liblz4
  need libpq-dev pkg-config --exists libpq
  need_for_python
}

need_for_python() {
  need python3 command -v python3
  need python3-venv python3 -c 'import ensurepip, venv'
}

# What the checks need beyond a build: compilers and emulators for the kernels of other processors.
need_for_checks() {
  need gcc command -v gcc
  need libc6-dev test -e /usr/include/stdlib.h
  need libsimde-dev test -e /usr/include/simde/x86/avx512.h
  need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
  need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/lib/libc.a
  need qemu-user command -v qemu-aarch64
}

# Installs what `need` found missing. Says so first.
install_missing() {
  (( ${#missing_packages[@]} > 0 )) || return 0
  local packages=("${missing_packages[@]}") privileged=()
  missing_packages=()
  if ! command -v apt-get > /dev/null; then
    fail "these Debian packages, or what your system calls them, are missing: ${packages[*]}"
  fi
  if (( UID != 0 )); then
    command -v sudo > /dev/null || fail "missing: ${packages[*]}. As root: apt-get install ${packages[*]}"
    privileged=(sudo)
  fi
  note "installing through apt: ${packages[*]}"
  local log
  log=$(mktemp)
  if ! {
    "${privileged[@]}" apt-get update -q \
      && "${privileged[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${packages[@]}"
  } < /dev/null > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt could not install ${packages[*]}"
  fi
  rm -f "$log"
}

# Puts a Swift 6.3 or later on PATH, or ends with how to get one.
find_swift() {
  local folder version
  if ! command -v swift > /dev/null; then
    for folder in /opt/swift/usr/bin /usr/local/swift/usr/bin "$HOME/.local/share/swiftly/bin" "$HOME/.swiftly/bin"; do
      if [[ -x $folder/swift ]]; then
        PATH=$folder:$PATH
        break
      fi
    done
  fi
  command -v swift > /dev/null \
    || fail "no Swift toolchain found. Get 6.3 or later from https://www.swift.org/install/linux and put it on PATH"
  version=$(swift --version 2> /dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
  [[ -n $version ]] || fail "$(command -v swift) does not run: see https://www.swift.org/install/linux for what it needs"
  if [[ $(printf '%s\n' 6.3 "$version" | sort -V | head -n 1) != 6.3 ]]; then
    fail "Swift $version is too old: 6.3 or later is needed (https://www.swift.org/install/linux)"
  fi
  swift_version=$version
}
