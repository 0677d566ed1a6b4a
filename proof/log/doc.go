// Package log keeps a transparency log that is nothing but files, and reads such logs, ours and those of others.
//
// # Format
//
// The files are those of c2sp.org/tlog-tiles, so any web server or bucket that hands them out is the log's public side, and
// any program for such logs reads them:
//
//	checkpoint                     the newest tree head, signed (package tlogproof)
//	tile/entries/x001/234          entries 1234 x 256 and following, each after its length in two bytes, big-endian
//	tile/entries/x001/234.p/17     the same while there are only 17 of them
//	tile/0/x001/234                the 256 SHA-256 hashes of these entries (RFC 6962 leaves)
//	tile/1/004, tile/1/004.p/210   the roots over whole tiles of the level below, and so on
//	journal                        the writer's own: the batch that is, or was last, being added
//
// Partial files are deleted once the whole one is there; readers that look for them take the whole one and cut it.
//
// # Promises
//
// Durable: when Append has returned, entries, tiles and checkpoint are in the store as durably as store.Put makes things.
//
// Crash: a writer that is killed, or whose store fails, at any moment leaves a log whose checkpoint verifies and whose files
// are those of the checkpoint or more. The next Open or Append first ends the batch that is in the journal; whether the
// entries of a failed Append are in the log is known after that. No tree is signed before its batch is in the journal, and
// no other batch is ever written in its place, so a crash cannot make the log sign two histories. A bucket may carry out a
// write that it reported failed after later ones (package s3): entries and tiles have one content for all time, a late journal
// is passed over, and after a late checkpoint the journal leads back to the newest. What is left is a journal that failed,
// arrived between the next batch's journal and that batch's checkpoint, and met a crash there: the store contract has no write
// on a condition that would exclude it.
//
// May run twice: an entry is known by its bytes. What is in the log already is not added again, Append gives its index. Two
// events that shall count twice must differ in their bytes, for example by an identifier.
//
// Concurrency: one Writer at a time, by the store's lock; its methods may be called by several goroutines. Readers need no
// lock and may read while a writer writes: what a checkpoint covers is there before the checkpoint, and stays.
//
// Trust: the store is not trusted. Who can write to it can lose files or swap them, which readers and the writer notice
// before they believe anything; putting something under the log's signature takes the key, the journal being signed too. One
// thing the writer cannot see from the store alone: that all of it, checkpoint and journal together, was set back to an
// earlier day, as by restoring a backup. Going on from there would fork the log. So Open takes checkpoints that were kept
// elsewhere, and refuses a store that does not contain them: give it what the witnesses or the registry saw last.
//
// Readers trust the keys of their Policy and nothing else. Every entry, hash and proof that is returned was verified against
// the checkpoint that was given, which must come from a Policy.
package log
