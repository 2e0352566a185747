#!/usr/bin/env bash
# Installs what is missing, builds the demo, starts it on port 8081 and prints its page's address.
# What is given goes to the demo, such as --port 9000 (see --help); Ctrl-C ends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. cmake/packages.sh

need g++
need cmake ninja-build libasio-dev libwebsocketpp-dev

step "Building the demo"
logged build/release-configure.log cmake --preset release
cmake --build --preset release --target push_server -j "${PUSHHUB_JOBS:-$(nproc)}"

step "Starting the demo; Ctrl-C ends it"
exec build/release/bin/push_server --port 8081 "$@"
