#!/usr/bin/env bash
# Builds the last stage of the Dockerfile with buildah, around a binary that is built here, and writes it as an OCI
# archive. Nothing is pulled, no container is run, and the same commit gives the same bytes: times are those of the
# commit, or $SOURCE_DATE_EPOCH.
#
#     hack/image.sh VERSION ARCHITECTURE
set -euo pipefail
version=$1 arch=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
dist=${DIST:-dist}
archive=$dist/countersign-$version-linux-$arch.oci.tar
authorities=/etc/ssl/certs/ca-certificates.crt
[[ -f $authorities ]] || { echo "make image needs $authorities, of the package ca-certificates" >&2; exit 1; }

# Everything is made beside its place and removed in the end, buildah's storage too.
mkdir -p "$dist"
work=$(realpath "$(mktemp -d "$dist/.image.XXXXXX")")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
stage=$work/build
mkdir -p "$stage/out" "$stage/etc/ssl/certs" "$work/context"
install -m 644 "$authorities" "$stage$authorities"
install -m 644 LICENSE "$work/context/LICENSE"
CGO_ENABLED=0 GOOS=linux GOARCH=$arch ${GO:-go} build -trimpath -ldflags "-s -w -X main.version=$version" -o "$stage/out/countersign" .
sed -n '/^FROM scratch$/,$p' Dockerfile >"$work/Dockerfile"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"

buildah=(buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run")
"${buildah[@]}" build --quiet --isolation chroot --pull-never --layers=false --timestamp "$SOURCE_DATE_EPOCH" \
	--signature-policy "$work/policy.json" --platform "linux/$arch" --build-context "build=$stage" \
	--build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
	--tag "countersign:$version" --file "$work/Dockerfile" "$work/context"
rm -f "$archive"
"${buildah[@]}" push --quiet --signature-policy "$work/policy.json" "countersign:$version" "oci:$work/image:countersign:$version"
tar --create --file "$archive" --directory "$work/image" --sort=name --format=gnu --mtime "@$SOURCE_DATE_EPOCH" \
	--owner=0 --group=0 --numeric-owner --mode=u+rw,go+r blobs index.json oci-layout

size() { du --apparent-size --block-size=1K "$1" | awk '{printf "%.1f MB", $1 / 1024}'; }
digest=$(sed -E 's/.*"digest":"(sha256:[a-f0-9]+)".*/\1/' "$work/image/index.json")
printf '%s: %s, of which the binary, without compression, is %s\n%s\n' "$archive" "$(size "$archive")" "$(size "$stage/out/countersign")" "$digest"
