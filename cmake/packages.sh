# shellcheck shell=bash
# For tests/run.sh and examples/run.sh: steps with their times, and installing what is missing.
# Sourced; expects `set -euo pipefail` and the working directory to be the project's.

step() {
    printf '\n== [%3d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"
}

die() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

# logged FILE COMMAND...: the output goes to the file; shows a sign of life every ten seconds, and
# the end of the file when the command fails.
logged() {
    local log=$1 shown=$SECONDS status=0 job
    shift
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 </dev/null &
    job=$!
    # Ctrl-C does not reach what runs in the background.
    trap 'kill "$job" 2>/dev/null || true; exit 130' INT TERM
    while kill -0 "$job" 2>/dev/null; do
        sleep 0.1
        if [ $((SECONDS - shown)) -ge 10 ]; then
            shown=$SECONDS
            printf '   [%3d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) \
                "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-80)"
        fi
    done
    wait "$job" || status=$?
    trap - INT TERM
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        echo "$0: failed with $status: $* (whole output: $log)" >&2
    fi
    return "$status"
}

# with_time_left: puts the time left, as far as one can tell, before the lines of Ninja and CTest that
# say how far they have come.
with_time_left() {
    local line begin=$SECONDS left
    while IFS= read -r line; do
        if [[ $line =~ ^(\[| *)([1-9][0-9]*)/([0-9]+)(\]|\ Test) ]]; then
            left=$(((SECONDS - begin) * (BASH_REMATCH[3] - BASH_REMATCH[2]) / BASH_REMATCH[2]))
            printf '%2d:%02d left ' $((left / 60)) $((left % 60))
        fi
        printf '%s\n' "$line"
    done
}

has_command() { command -v "$1" >/dev/null 2>&1; }

# has_header FILE: some compiler finds it, or it lies in the usual place.
has_header() {
    local compiler
    for compiler in "${CXX:-c++}" g++ clang++; do
        if has_command "$compiler" &&
            echo "#include <$1>" | "$compiler" -x c++ -E - >/dev/null 2>&1; then
            return 0
        fi
    done
    [ -f "/usr/include/$1" ] || [ -f "/usr/local/include/$1" ]
}

# Is what this Debian package brings there, from wherever? What can be asked is asked for itself, so
# that a Node.js or a compiler that came another way counts.
is_there() {
    case $1 in
    g++ | cmake | ccache) has_command "$1" ;;
    clang) has_command clang++ ;;
    ninja-build) has_command ninja ;;
    libasio-dev) has_header asio/version.hpp ;;
    libwebsocketpp-dev) has_header websocketpp/version.hpp ;;
    rapidjson-dev) has_header rapidjson/rapidjson.h ;;
    libssl-dev) has_header openssl/evp.h ;;
    openssl) has_command openssl ;;
    valgrind) has_command valgrind ;;
    zlib1g-dev) has_header zlib.h ;;
    libboost-dev) has_header boost/beast.hpp ;;
    catch2) has_header catch2/catch.hpp || has_header catch2/catch_all.hpp ;;
    nodejs) has_command node ;;
    npm) has_command npm ;;
    chromium | clang-format | clang-tidy | doxygen | python3) has_command "$1" ;;
    nginx | haproxy) has_command "$1" || [ -x "/usr/sbin/$1" ] ;;
    python3-websockets)
        python3 -c 'import websockets' 2>/dev/null || /usr/bin/python3 -c 'import websockets' 2>/dev/null
        ;;
    python3-yaml) python3 -c 'import yaml' 2>/dev/null ;;
    locales) has_command localedef && [ -d /usr/share/i18n/locales ] ;;
    prometheus) has_command promtool ;;
    lintian) has_command lintian ;;
    g++-*-linux-gnu*) has_command "${1#g++-}-g++" ;;
    g++-mingw-w64-x86-64-posix) has_command x86_64-w64-mingw32-g++-posix ;;
    qemu-user) has_command qemu-s390x ;;
    wine64) [ -x /usr/lib/wine/wine64 ] ;;
    pkg-config) has_command pkg-config ;;
    llvm) has_command llvm-symbolizer ;;
    libclang-rt-dev)
        echo 'int main() {}' | clang++ -x c++ -fsanitize=thread - -o /dev/null 2>/dev/null
        ;;
    *) dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed ;;
    esac
}

# need PACKAGE...: Debian's names. Installs what is missing, or says what to install.
need() {
    local package missing=() sudo=()
    for package in "$@"; do
        is_there "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! has_command apt-get; then
        cat >&2 <<END
$0: missing here, named as Debian's packages: ${missing[*]}
This is no Debian, so install what corresponds to them: a C++17 compiler, CMake 3.22 or newer,
Ninja, standalone Asio 1.18 or newer and WebSocket++ 0.8.2, as far as the list says so; the tests
also use RapidJSON, OpenSSL, zlib, Boost.Beast, Catch2, Node.js 18 or newer with npm, Chromium,
nginx, HAProxy, Prometheus's promtool, Doxygen, clang-format and clang-tidy 14, and Python with websockets and yaml.
END
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        has_command sudo || die "become root and run: apt-get install --no-install-recommends ${missing[*]}"
        sudo=(sudo)
    fi
    step "Installing ${missing[*]}"
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    logged build/apt-update.log "${apt[@]}" update ||
        echo "$0: going on with the package lists that are there" >&2
    logged build/apt-install.log "${apt[@]}" install --no-install-recommends "${missing[@]}" ||
        die "install these and try again: ${missing[*]}"
}
