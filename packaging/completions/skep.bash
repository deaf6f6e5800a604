# SPDX-License-Identifier: Apache-2.0
#
# Completion of skep for bash. Written by scripts/make-completions.

_skep_verbs='check schema dev deploy rollback versions remove status stats tenants workers top explain incidents logs quarantine release retire reload kill-worker jail-report drain upgrade help version'

_skep_options() {
    case $1 in
    check) echo '--unit --socket --timeout --json --help' ;;
    schema) echo '--text --socket --timeout --json --help' ;;
    dev) echo '--port --jit --socket --timeout --json --help' ;;
    deploy) echo '--env --env-file --socket --timeout --json --help' ;;
    rollback) echo '--socket --timeout --json --help' ;;
    versions) echo '--socket --timeout --json --help' ;;
    remove) echo '--socket --timeout --json --help' ;;
    status) echo '--socket --timeout --json --help' ;;
    stats) echo '--socket --timeout --json --help' ;;
    tenants) echo '--socket --timeout --json --help' ;;
    workers) echo '--socket --timeout --json --help' ;;
    top) echo '-i --interval -s --sort -w --workers -1 --once --socket --timeout --json --help' ;;
    explain) echo '--tenant --socket --timeout --json --help' ;;
    incidents) echo '-n --last --socket --timeout --json --help' ;;
    logs) echo '-f --follow -n --last --level --socket --timeout --json --help' ;;
    quarantine) echo '--for --socket --timeout --json --help' ;;
    release) echo '--socket --timeout --json --help' ;;
    retire) echo '--socket --timeout --json --help' ;;
    reload) echo '--socket --timeout --json --help' ;;
    kill-worker) echo '--socket --timeout --json --help' ;;
    jail-report) echo '--all --socket --timeout --json --help' ;;
    drain) echo '--socket --timeout --json --help' ;;
    upgrade) echo '--socket --timeout --json --help' ;;
    help) echo '--socket --timeout --json --help' ;;
    version) echo '--v8 --socket --timeout --json --help' ;;
    '') echo '--socket --timeout --json --help --version' ;;
    esac
}

# ":KIND" for an option that takes a value.
_skep_value_kind() {
    case $1,$2 in
    check,--unit) echo ':files' ;;
    dev,--port) echo ':' ;;
    dev,--jit) echo ':on baseline off' ;;
    deploy,--env) echo ':' ;;
    deploy,--env-file) echo ':files' ;;
    top,--interval | top,-i) echo ':' ;;
    top,--sort | top,-s) echo ':name rps errors p50 p99 cpu heap memory queue in_flight kills' ;;
    incidents,--last | incidents,-n) echo ':' ;;
    logs,--last | logs,-n) echo ':' ;;
    logs,--level) echo ':debug info warn error' ;;
    quarantine,--for) echo ':' ;;
    *,--socket) echo ':files' ;;
    *,--timeout) echo ':' ;;
    esac
}

# Of the argument with that number, from 0.
_skep_argument_kind() {
    case $1,$2 in
    check,*) echo 'files' ;;
    schema,0) echo 'files' ;;
    dev,0) echo 'files' ;;
    deploy,0) echo 'folders' ;;
    rollback,0) echo 'tenants' ;;
    versions,0) echo 'tenants' ;;
    remove,0) echo 'tenants' ;;
    explain,0) echo 'tenants' ;;
    incidents,0) echo 'tenants' ;;
    logs,0) echo 'tenants' ;;
    quarantine,0) echo 'tenants' ;;
    release,0) echo 'tenants' ;;
    retire,0) echo 'cordons' ;;
    jail-report,0) echo 'cordons' ;;
    help,0) echo 'verbs' ;;
    esac
}

# Names are those that skepd knows; without it, or without the right to ask it, there are none.
_skep_names() {
    local verb=$1 key=$2
    shift 2
    command skep "$@" --json "$verb" 2>/dev/null </dev/null |
        sed -n "s/^ *\"$key\": \"\([A-Za-z0-9._-]*\)\",\{0,1\}\$/\1/p" | sort -u
}

# Fills COMPREPLY with what begins like the word. $1: a kind, or words to choose from.
_skep_offer() {
    local kind=$1 word=$2
    shift 2
    case $kind in
    tenants) mapfile -t COMPREPLY < <(compgen -W "$(_skep_names tenants name "$@")" -- "$word") ;;
    cordons) mapfile -t COMPREPLY < <(compgen -W "$(_skep_names workers cordon "$@")" -- "$word") ;;
    verbs) mapfile -t COMPREPLY < <(compgen -W "$_skep_verbs" -- "$word") ;;
    files | folders)
        compopt -o filenames 2>/dev/null
        if [[ $kind == files ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
        else
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
        fi
        ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$word") ;;
    esac
}

_skep() {
    local word=${COMP_WORDS[COMP_CWORD]} verb='' value_of='' i kind
    local -a given=() socket=()

    COMPREPLY=()
    # Bash makes three words of --name=value.
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ -n $value_of ]]; then
            [[ ${COMP_WORDS[i]} == = ]] && continue
            [[ $value_of == --socket ]] && socket=(--socket "${COMP_WORDS[i]}")
            value_of=''
        elif [[ ${COMP_WORDS[i]} == -* ]]; then
            [[ -n $(_skep_value_kind "$verb" "${COMP_WORDS[i]}") ]] && value_of=${COMP_WORDS[i]}
        elif [[ -z $verb ]]; then
            verb=${COMP_WORDS[i]}
        else
            given+=("${COMP_WORDS[i]}")
        fi
    done
    [[ $word == = ]] && word=''
    if [[ -n $value_of ]]; then
        kind=$(_skep_value_kind "$verb" "$value_of")
        _skep_offer "${kind#:}" "$word" "${socket[@]}"
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_skep_options "$verb")" -- "$word")
    elif [[ -z $verb ]]; then
        _skep_offer verbs "$word"
    else
        _skep_offer "$(_skep_argument_kind "$verb" "${#given[@]}")" "$word" "${socket[@]}"
    fi
}

complete -F _skep skep
