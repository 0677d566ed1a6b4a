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
// # Steps, and who takes them
//
// A Making is a delivery in steps that any number of processes on many machines take together: Begin, every Part, Seal, every
// Shard, Finish. Run takes them in one process, with the same bytes in the end; the same job can be gone on with either way.
// Parts and shards need no lock: who takes one twice, or at the same time as another process, writes what is there
// already. Seal fixes which works each shard holds and is written once.
//
// # Order of durable writes
//
//	job.json                                  Begin, under the lock
//	staging/part-N-H.img, then its .json      Part: up to 64 works or 32 MB at once, see batchRecord
//	staging/plan-N-H.json, then sealed.json   Seal, under the lock
//	shard-N.tar, then staging/shard-N.json    Shard; then the .img of which all is in shards go
//	codebook.json, then manifest.json         Finish, under the lock; then staging/*, then job.json go
//
// Whoever was killed anywhere is continued by the same calls: what is lost is at most one batch of each part under way. A
// delivery needs room for its images and two shards, or as many as are written at once. A process that goes on after it was
// taken for dead changes no byte of a delivery, but may leave objects in staging: see Sweep, and Abandon for a job that was
// cancelled. Refusals that may pass (there is no master today) are staged last, so that going on tries again.
//
// # Increments
//
// A delivery after others (Spec.Previous) holds the works that are new or have changed, and lists what the customer has to
// take out: works that left the catalogue, and the old files of those that changed. Manifests name the one before them, so
// a History cannot leave one out.
//
// # Memory
//
// Besides the catalogue the end of a delivery holds a record of each picture, under a kilobyte; parts and shards hold those
// of their own works. Pictures are there only while they are worked on, within Spec.MaxMemory, and until their batch is
// staged. The manifest is written and read element by element.
//
// # Trust
//
// Masters are hostile bytes: package raster bounds what they may claim, and a fault while one is handled becomes a
// Refusal. Who can write to the store can spoil a delivery but not unnoticed: Verify compares every hash, and the
// manifest's own hash is what the log commits to.
package delivery
