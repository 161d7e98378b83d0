#!/bin/sh
# Makes the test data anew: `sh generate.sh`, with Go on the PATH. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$(dirname "$here")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# program VERSION-OF-MODULE MODULE SOURCE: builds into $scratch/run
program() {
    rm -rf "$scratch/src" && mkdir "$scratch/src"
    cp "$3" "$scratch/src/main.go"
    [ -z "${4:-}" ] || sed -i "s#server/core/STORE#server/core/$4#" "$scratch/src/main.go"
    (cd "$scratch/src" && go mod init generate && go get "$2@$1" && go build -mod=mod -o "$scratch/run" .) 2>"$scratch/log" \
        || { cat "$scratch/log"; exit 1; }
}

bbolt=go.etcd.io/bbolt
program v1.3.6 $bbolt "$here/bbolt/main.go" && "$scratch/run" "$data" 1.3.6 empty,shapes
program v1.3.12 $bbolt "$here/bbolt/main.go" && "$scratch/run" "$data" 1.3.12 shapes,many,deleted,body
program v1.4.3 $bbolt "$here/bbolt/main.go" && "$scratch/run" "$data" 1.4.3 empty,shapes,deleted,nested
program v1.5.0 $bbolt "$here/bbolt/main.go" && "$scratch/run" "$data" 1.5.0 empty,shapes,body,nofreelistsync,hashmap,pages16k,nested
cp "$scratch/run" "$scratch/dump"

atlantis=github.com/runatlantis/atlantis
for pair in v0.35.1:db v0.40.0:boltdb v0.47.1:boltdb; do
    version=${pair%:*}
    program "$version" $atlantis "$here/atlantis/main.go" "${pair#*:}"
    "$scratch/run" "$scratch/$version"
    mv "$scratch/$version/atlantis.db" "$data/atlantis-${version#v}.db"
done
"$scratch/dump" dump "$data"/*.db
program v0.47.1 $atlantis "$here/atlantis/cases.go" && "$scratch/run" >"$data/cases.tsv"
