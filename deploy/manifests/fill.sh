#!/usr/bin/env bash
# Fills the manifests of package managers with the version, the addresses and the checksums of a release:
#
#   deploy/manifests/fill.sh OWNER/REPOSITORY VERSION SHA256SUMS FOLDER
set -euo pipefail
repository=$1 version=$2 sums=$3 out=$4
source=$(cd "$(dirname "$0")" && pwd)
url=https://github.com/$repository
mkdir -p "$out"
for manifest in transcribe.rb transcribe.json transcribe.winget.yaml PKGBUILD; do
    content=$(sed -e "s|@URL@|$url|g" -e "s|@DOWNLOAD@|$url/releases/download/v$version|g" \
        -e "s|@OWNER@|${repository%%/*}|g" -e "s|@VERSION@|$version|g" "$source/$manifest")
    while read -r sum name; do
        content=${content//"@SHA256:${name#"transcribe-$version-"}@"/$sum}
    done <"$sums"
    if grep -q '@SHA256' <<<"$content"; then
        echo "error: $manifest: no checksum for $(grep -o '@SHA256:[^@]*' <<<"$content" | head -1 | cut -d: -f2)" >&2
        exit 1
    fi
    printf '%s\n' "$content" >"$out/$manifest"
done
