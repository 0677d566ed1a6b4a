// Package delivery turns a catalogue@version into a marked training set: read, decode, bring to the delivery's
// geometry, mark, encode, re-read what was written and detect it, shard, manifest.
//
// # What a delivery holds
//
//	shard-000000-H.tar  WebDataset, USTAR; per sample <key>.<ext>, <key>.json, <key>.txt and, where rights are declared,
//	                    <key>.training-mining.json, in order of work IDs; named by content and perhaps packed: see ShardForm
//	codebook.json       filigrane.codebook/1: the numbers of concepts and works, which detection needs to give names
//	manifest.json       filigrane.delivery/1: everything that was done to every image; written last
//
// Package papers writes what accompanies it: index, Croissant, statistics, removals, receipt.
//
// The manifest and the codebook stay with the bank; the shards go to the customer. They hold no key and no number
// of a codeword. Bytes depend on the Spec and the masters only: not on time, order of work, number of workers or
// interruptions. (Between platforms the Lanczos filter of square geometries may differ in the last bit of a
// product.)
//
// # What must be readable
//
// Every file by itself (ReadableEach), or for pictures too small for that, pools of the files of each concept
// (ReadablePool). A pool that does not name its concept is noted in the manifest and refuses nothing.
//
// # Order of durable writes
//
// lock, job.json, per image staging/<id>.img then staging/<id>.json (under ReadablePool per batch of images
// staging/batch-<hash>.img then staging/batch-<hash>.json), per shard shard-N.tar then staging/shard-N.json,
// codebook.json, manifest.json; then staging/* and job.json go. A run that was killed anywhere is continued by the
// same call. See Run.
//
// # Increments
//
// A delivery after others (Spec.Previous) holds the works that are new or have changed, and lists what the customer has to
// take out: works that left the catalogue, and the old files of those that changed. Manifests name the one before them, so
// a History cannot leave one out.
//
// # Memory
//
// A run holds a record of each picture, under a kilobyte, besides the catalogue; pictures only while they are worked on.
// The manifest is written and read element by element.
//
// # Trust
//
// Masters are hostile bytes: package raster bounds what they may claim, and a fault while one is handled becomes a
// Refusal. Who can write to the store can spoil a delivery but not unnoticed: Verify compares every hash, and the
// manifest's own hash is what the log commits to.
package delivery
