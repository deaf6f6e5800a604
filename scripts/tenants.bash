# SPDX-License-Identifier: Apache-2.0
#
# Sourced by scripts that serve a folder of tenants, after lib.bash: what has to be bundled first goes
# through npm, in a copy under build/run/bundles, so that the work tree stays as it is.

# A hash of all that a bundle is made from, so that a second run bundles nothing again.
folder_hash() {
    (cd "$1" && find . -name node_modules -prune -o -type f -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum)
}

bundle_tenant() { # SOURCE NAME TENANTS
    local source=$1 name=$2 hash
    local copy=${top:?}/build/run/bundles/$name
    hash=$(folder_hash "$source")
    if [[ ! -e $copy/.hash || $(<"$copy/.hash") != "$hash" ]]; then
        say "Bundling $name"
        rm -rf "$copy"
        mkdir -p "$copy"
        (cd "$source" && tar -cf - --exclude=node_modules .) | tar -xf - -C "$copy"
        (cd "$copy" &&
            npm ci --ignore-scripts --prefer-offline --no-audit --no-fund \
                --no-update-notifier --loglevel=error >&2 &&
            npm run --silent build >&2) ||
            die "cannot bundle $name" "npm's message is above; the first time needs a network"
        echo "$hash" >"$copy/.hash"
    fi
    ln -s "$copy" "$3/$name"
}

# prepare_tenants SOURCE TENANTS: makes the folder TENANTS anew, with a link for each tenant in SOURCE.
# Their names are then in $names.
prepare_tenants() {
    local source_folder=$1 tenants=$2 folder name
    rm -rf "$tenants"
    mkdir -p "$tenants"
    names=()
    for folder in "$source_folder"/*/; do
        folder=${folder%/}
        name=${folder##*/}
        [[ -e $folder/skep.yaml ]] || continue
        if [[ -e $folder/package.json ]] && grep -q '"build" *:' "$folder/package.json"; then
            bundle_tenant "$folder" "$name" "$tenants"
        else
            ln -s "$folder" "$tenants/$name"
        fi
        names+=("$name")
    done
    ((${#names[@]} > 0)) ||
        die "no tenants in $source_folder" \
            "each is a folder there with a skep.yaml; examples/ has some to start from"
}
