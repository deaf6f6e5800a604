# SPDX-License-Identifier: Apache-2.0
#
# Completion of skep for fish. Written by scripts/make-completions.

function __skep_names
    set -l socket
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if test "$words[$i]" = --socket; and test $i -lt (count $words)
            set socket --socket $words[(math $i + 1)]
        end
    end
    command skep $socket --json $argv[1] 2>/dev/null </dev/null |
        string replace -rf '^ *"'$argv[2]'": "([A-Za-z0-9._-]*)",?$' '$1' | sort -u
end

complete -c skep -f
complete -c skep -n __fish_use_subcommand -l version -d 'the version'
complete -c skep -l socket -r -F -d 'admin socket of skepd'
complete -c skep -l timeout -r -F -d 'seconds that skepd has for each answer'
complete -c skep -l json -d 'one JSON document on standard output'
complete -c skep -l help -d 'this'

complete -c skep -n __fish_use_subcommand -a check -d 'check config files and tenants without starting anything'
complete -c skep -n '__fish_seen_subcommand_from check' -l unit -r -F -d 'the systemd unit that starts skepd with a skepd.yaml'
complete -c skep -n '__fish_seen_subcommand_from check' -F

complete -c skep -n __fish_use_subcommand -a schema -d 'print the JSON Schema of skepd.yaml or skep.yaml, for editors'
complete -c skep -n '__fish_seen_subcommand_from schema' -l text -d 'each key for people: what it is, default, what is allowed'
complete -c skep -n '__fish_seen_subcommand_from schema' -F

complete -c skep -n __fish_use_subcommand -a dev -d 'serve one script or tenant folder, and reload it when it is saved'
complete -c skep -n '__fish_seen_subcommand_from dev' -l port -x -d 'listen on 127.0.0.1:N (8080)'
complete -c skep -n '__fish_seen_subcommand_from dev' -l jit -x -a 'on baseline off' -d 'which of V8'\''s compilers to use (on)'
complete -c skep -n '__fish_seen_subcommand_from dev' -F

complete -c skep -n __fish_use_subcommand -a deploy -d 'send a tenant'\''s folder, and serve it once it has loaded'
complete -c skep -n '__fish_seen_subcommand_from deploy' -l env -x -d 'env.N is V, over skep.yaml; again for others'
complete -c skep -n '__fish_seen_subcommand_from deploy' -l env-file -r -F -d 'the same, a line each; -: standard input'
complete -c skep -n '__fish_seen_subcommand_from deploy' -a '(__fish_complete_directories)'

complete -c skep -n __fish_use_subcommand -a rollback -d 'serve a version that was deployed before'
complete -c skep -n '__fish_seen_subcommand_from rollback' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a versions -d 'list what was deployed of a tenant'
complete -c skep -n '__fish_seen_subcommand_from versions' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a remove -d 'remove a deployed tenant, and all its versions'
complete -c skep -n '__fish_seen_subcommand_from remove' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a status -d 'show how the service is, and which layers of the jail hold'

complete -c skep -n __fish_use_subcommand -a stats -d 'show what skepd as a whole has done'

complete -c skep -n __fish_use_subcommand -a tenants -d 'show each tenant: its state, where it is, requests, CPU time, memory'

complete -c skep -n __fish_use_subcommand -a workers -d 'show each worker: its process, memory, and what it does'

complete -c skep -n __fish_use_subcommand -a top -d 'watch what tenants and workers do right now'
complete -c skep -n '__fish_seen_subcommand_from top' -l interval -s i -x -d 'seconds between two looks, 0.1 to 30 (default: 1)'
complete -c skep -n '__fish_seen_subcommand_from top' -l sort -s s -x -a 'name rps errors p50 p99 cpu heap memory queue in_flight kills' -d 'name, rps, errors, p50, p99, cpu (default), heap, memory, queue, …'
complete -c skep -n '__fish_seen_subcommand_from top' -l workers -s w -d 'begin with workers, not with tenants'
complete -c skep -n '__fish_seen_subcommand_from top' -l once -s 1 -d 'one interval, as text; so too where the output is no terminal'

complete -c skep -n __fish_use_subcommand -a explain -d 'explain a tenant'\''s limits, an error code, or a key of the configuration'
complete -c skep -n '__fish_seen_subcommand_from explain' -l tenant -d 'NAME is a tenant'\''s, though it is a code'\''s, too'
complete -c skep -n '__fish_seen_subcommand_from explain' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a incidents -d 'show the last limits met, tenants stopped, workers lost'
complete -c skep -n '__fish_seen_subcommand_from incidents' -l last -s n -x -d 'the last N (all that are kept)'
complete -c skep -n '__fish_seen_subcommand_from incidents' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a logs -d 'show what tenants have logged, and what they log'
complete -c skep -n '__fish_seen_subcommand_from logs' -l follow -s f -d 'print lines as they come, until it is stopped'
complete -c skep -n '__fish_seen_subcommand_from logs' -l last -s n -x -d 'the last N (all; with -f: 10)'
complete -c skep -n '__fish_seen_subcommand_from logs' -l level -x -a 'debug info warn error' -d 'of debug, info, warn, error: that or worse'
complete -c skep -n '__fish_seen_subcommand_from logs' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a quarantine -d 'stop sending requests to a tenant for a while'
complete -c skep -n '__fish_seen_subcommand_from quarantine' -l for -x -d '30s, 10m, 2h or 1d (until it is released)'
complete -c skep -n '__fish_seen_subcommand_from quarantine' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a release -d 'end a tenant'\''s quarantine, and its time in a worker of its own'
complete -c skep -n '__fish_seen_subcommand_from release' -a '(__skep_names tenants name)'

complete -c skep -n __fish_use_subcommand -a retire -d 'replace workers by fresh ones, without a failed request'
complete -c skep -n '__fish_seen_subcommand_from retire' -a '(__skep_names workers cordon)'

complete -c skep -n __fish_use_subcommand -a reload -d 'read skepd.yaml and the tenants'\'' folder again, without losing a request'

complete -c skep -n __fish_use_subcommand -a kill-worker -d 'kill a worker at once; another takes its place'

complete -c skep -n __fish_use_subcommand -a jail-report -d 'show the jail of a cordon'\''s workers, from inside and from outside'
complete -c skep -n '__fish_seen_subcommand_from jail-report' -l all -d 'a line for each system call, refused ones too'
complete -c skep -n '__fish_seen_subcommand_from jail-report' -a '(__skep_names workers cordon)'

complete -c skep -n __fish_use_subcommand -a drain -d 'stop skepd when its requests in flight have ended'

complete -c skep -n __fish_use_subcommand -a upgrade -d 'replace skepd by the program on disk, without a lost request'

complete -c skep -n __fish_use_subcommand -a help -d 'show this, or the help of a verb'
complete -c skep -n '__fish_seen_subcommand_from help' -a 'check schema dev deploy rollback versions remove status stats tenants workers top explain incidents logs quarantine release retire reload kill-worker jail-report drain upgrade help version'

complete -c skep -n __fish_use_subcommand -a version -d 'show the version, or the flags that workers set in V8'
complete -c skep -n '__fish_seen_subcommand_from version' -l v8 -d 'the flags that workers set in V8, why, and who may switch them'
