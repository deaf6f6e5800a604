# SPDX-License-Identifier: Apache-2.0
#
# Sourced by the scripts beside it: messages, and building a preset.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' red='' plain=''
fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*" >&2; }

# die "what failed" ["what to do" ...]
die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
    shift
    (($# == 0)) || printf '       %s\n' "$@" >&2
    exit 1
}

# The comment at the top of a script is its help: from behind the licence to the first line
# that is not a comment.
print_help() { sed -n '4,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

# test_python: prints a python3 that has what the tests import; the first one in PATH may not.
test_python() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import prometheus_client' 2>/dev/null || continue
        printf '%s\n' "$python"
        return
    done
    die "no python3 has the package prometheus_client" "scripts/setup installs it"
}

# build_preset NAME [TARGET...]: configures (a second or two when nothing changed) and builds.
build_preset() {
    local preset=$1 target
    shift
    local targets=()
    for target; do targets+=(--target "$target"); done
    say "Building ($preset)"
    (cd "$top" && cmake --preset "$preset" --log-level=WARNING >/dev/null) ||
        die "cannot configure the $preset build" \
            "try again from nothing: rm -rf build/$preset"
    cmake --build "$top/build/$preset" "${targets[@]}" >&2 ||
        die "the $preset build failed: the compiler's messages are above"
}

# make_package VERSION: the Debian package of build/release in build/package; prints its path. An empty
# VERSION is that of the sources.
make_package() {
    local folder=$top/build/package log options=()
    [[ -z $1 ]] || options=(-D "CPACK_PACKAGE_VERSION=$1")
    mkdir -p "$folder"
    log=$folder/cpack.log
    say "Packaging"
    cpack -G DEB --config "$top/build/release/CPackConfig.cmake" -B "$folder" "${options[@]}" \
        >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "cpack failed" "its last lines are above, all of them in $log"
    }
    rm -rf "$folder/_CPack_Packages"
    sed -n 's/^CPack: - package: \(.*\) generated\.$/\1/p' "$log"
}
