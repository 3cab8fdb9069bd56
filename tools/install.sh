#!/usr/bin/env bash
# Brings what Parley needs to this machine: uv, the Python packages in .venv, nats-server, redis-server, Chromium.
# Does nothing, quickly, when nothing is missing. Run it through `make install`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Debian keeps nats-server in /usr/sbin, which an ordinary user's PATH leaves out.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:$PWD/.venv-tools/bin:$HOME/.local/bin"

STAMP=.venv/.parley-installed
MEMBERS=(libs/*/ services/*/ tools/*/)
say() { printf 'parley: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

fingerprint() {
    local sum=(sha256sum)
    has sha256sum || sum=(shasum -a 256)
    cat requirements/dev.txt libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml tools/install.sh |
        "${sum[@]}"
}

has_chromium() { has chromium || has chromium-browser || has google-chrome || [ -d "/Applications/Chromium.app" ]; }

has_postgresql() { has initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; }

missing_programs() {
    [ -n "${NATS_URL:-}" ] || has nats-server || echo nats-server
    [ -n "${REDIS_URL:-}" ] || has redis-server || echo redis-server
    has_chromium || echo chromium
    # Only the tests use it, so only a machine that runs them unattended has it installed.
    [ -z "${CI:-}" ] || has_postgresql || echo postgresql
}

# -- programs of the system ---------------------------------------------------------------------------

package_name() { # package manager, program -> that manager's name for it
    case "$1:$2" in
    dnf:redis-server | brew:redis-server) echo redis ;;
    brew:chromium) echo --cask chromium ;;
    *) echo "$2" ;;
    esac
}

package_manager() {
    if has apt-get; then echo apt-get; elif has dnf; then echo dnf; elif has brew; then echo brew; fi
}

install_command() { # package manager, program -> the words to run
    case "$1" in
    apt-get) echo "apt-get install -y --no-install-recommends $(package_name apt-get "$2")" ;;
    dnf) echo "dnf install -y $(package_name dnf "$2")" ;;
    brew) echo "brew install $(package_name brew "$2")" ;;
    esac
}

elevation() { # prints the prefix that gives the package manager its rights; fails when there is none
    if [ "$1" = brew ] || [ "$(id -u)" = 0 ]; then return 0; fi
    has sudo && sudo -n true 2>/dev/null && echo "sudo -n" && return 0
    return 1
}

tell_how_to_install() {
    local manager=$1 program
    shift
    for program in "$@"; do
        if [ -n "$manager" ]; then
            local prefix="sudo "
            [ "$manager" = brew ] && prefix=""
            say "$program is missing. Type:  $prefix$(install_command "$manager" "$program")"
        else
            say "$program is missing and there is no apt-get, dnf or brew here: install it and put it on the PATH."
        fi
    done
}

install_programs() {
    local manager prefix program
    manager=$(package_manager)
    if [ -n "$manager" ] && prefix=$(elevation "$manager"); then
        export DEBIAN_FRONTEND=noninteractive
        [ "$manager" = apt-get ] && { $prefix apt-get update -qq >&2 || true; }
        for program in "$@"; do
            say "installing $program with $manager"
            # One at a time, so that a missing Chromium does not keep the others out.
            # shellcheck disable=SC2046
            $prefix $(install_command "$manager" "$program") >&2 || say "$manager could not install $program"
        done
    fi
    hash -r
    local still=()
    mapfile_compatible still missing_programs
    [ ${#still[@]} -eq 0 ] && return 0
    tell_how_to_install "$manager" "${still[@]}"
    case " ${still[*]} " in *-server\ *) return 1 ;; esac
    # What is left is Chromium (web pages cannot be read without it) or PostgreSQL (its tests skip).
    say "going on without ${still[*]}"
}

mapfile_compatible() { # array name, command: macOS ships a bash without mapfile
    local line
    eval "$1=()"
    while IFS= read -r line; do
        [ -n "$line" ] && eval "$1+=(\"\$line\")"
    done < <("$2")
    return 0
}

# -- Python -------------------------------------------------------------------------------------------

find_uv() { # a uv that runs: a version manager may leave a shim without a program behind it
    local candidate
    for candidate in uv .venv-tools/bin/uv "$HOME/.local/bin/uv"; do
        "$candidate" --version >/dev/null 2>&1 && echo "$candidate" && return 0
    done
    return 1
}

install_uv() {
    say "installing uv"
    if has pipx && pipx install -q uv >&2; then return 0; fi
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        has "$python" || continue
        # --user fails where the system manages its Python (PEP 668); a venv of its own always may.
        "$python" -m pip install -q --user uv >/dev/null 2>&1 && return 0
        "$python" -m venv .venv-tools >/dev/null 2>&1 || continue
        .venv-tools/bin/pip install -q uv >&2 && return 0
    done
    say "uv could not be installed. Type:  python3 -m venv .venv-tools && .venv-tools/bin/pip install uv"
    say "(on Debian and Ubuntu first:  sudo apt-get install -y python3-venv)"
    return 1
}

install_packages() {
    local uv member editable=()
    uv=$(find_uv) || { install_uv && uv=$(find_uv); } || return 1
    if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$uv" venv -q --clear --python '>=3.11' .venv >&2 || {
            say "Python 3.11 or newer is missing. Type:  sudo apt-get install -y python3.11  (or: $uv python install 3.12)"
            return 1
        }
    fi
    for member in "${MEMBERS[@]}"; do
        [ -f "$member/pyproject.toml" ] && editable+=(-e "$member")
    done
    say "installing Python packages (the first time takes a minute or two)"
    "$uv" pip install -q --python .venv/bin/python --require-hashes -r requirements/dev.txt >&2
    "$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation "${editable[@]}" >&2
}

# -- what runs ----------------------------------------------------------------------------------------

wanted=()
mapfile_compatible wanted missing_programs
if [ ${#wanted[@]} -gt 0 ]; then
    # A second start must not wait for a package manager that could not help the first time with Chromium.
    if [ "${wanted[*]}" = chromium ] && [ -f "$STAMP" ]; then
        tell_how_to_install "$(package_manager)" chromium
    else
        install_programs "${wanted[@]}"
    fi
fi
print=$(fingerprint)
if [ ! -f "$STAMP" ] || [ "$(cat "$STAMP")" != "$print" ] || ! [ -x .venv/bin/python ]; then
    install_packages
    printf '%s\n' "$print" >"$STAMP"
fi
