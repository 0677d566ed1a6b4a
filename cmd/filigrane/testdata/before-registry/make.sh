#!/bin/sh
# Makes this folder: a workspace as the program left it before there was a registry. Run it at the root of the source tree
# with a program built from commit 74ae46d:
#
#	sh cmd/filigrane/testdata/before-registry/make.sh /path/to/filigrane
#
# The master key is thirty-two bytes of 5a and stands nowhere in it. Masters and delivery lay under /filigrane-fixture.
set -eu
program=$1 to=$PWD/cmd/filigrane/testdata/before-registry photos=$PWD/testdata/photos at=/filigrane-fixture
export FILIGRANE_KEY=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a FILIGRANE_WORKSPACE=$at/ws FILIGRANE_QUIET=true
mkdir $at # fails if it is there
mkdir -p $at/masters/mountains $at/masters/sky
cp "$photos/mountains/picos-trail.jpg" "$photos/mountains/sunrise-ridge.jpg" $at/masters/mountains
cp "$photos/sky/kite.jpg" "$photos/sky/storm-road.jpg" $at/masters/sky
"$program" init $at/ws --bank "Fixture Bank" > $at/init.json
"$program" import $at/masters --csv "$photos/metadata.csv" > $at/import.json
"$program" concepts --by folder --by visual:2 --catalogue spring > $at/concepts.json
"$program" deliver -c spring -o $at/delivery --licence acme --geometry square:256 --format jpeg --date 2026-11-24 > $at/deliver.json
rm $at/masters/sky/kite.jpg
"$program" import $at/masters > $at/import2.json
"$program" concepts --by folder --catalogue spring > $at/concepts2.json
"$program" embed $at/masters/sky/storm-road.jpg -o $at/embedded.jpg > $at/embed.json
rm -rf "$to/ws" "$to/delivery" "$to/pictures"
mkdir "$to/delivery" "$to/pictures"
cp -R $at/ws "$to/ws"
rm -f "$to/ws/lock"
cp $at/delivery/manifest.json $at/delivery/codebook.json "$to/delivery"
tar -xf $at/delivery/shard-*.tar -C $at
for file in $at/*.jpg; do cp "$file" "$to/pictures"; done
rm -rf $at
