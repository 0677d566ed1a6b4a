// Package papers writes what accompanies a finished delivery, and checks it: what a customer, his lawyer and their
// programs read before they open a shard.
//
//	index.parquet    one row for each picture, in the manifest's order: Row
//	index.csv        the same; concepts are joined by "|"
//	removals.json    filigrane.removals/1: what an incremental delivery takes back (only there if it does)
//	statistics.json  filigrane.statistics/1: counts and histograms of the manifest
//	statistics.html  the same to read and to print, in one file
//	croissant.json   Croissant 1.1, JSON-LD: files with hashes, fields, licence (ODRL), provenance (PROV-O)
//	receipt.json     DSSE envelope, Ed25519, of an in-toto Statement whose subjects are the shards, the manifest, the
//	                 codebook and the papers above; written last
//
// None holds a key or a number of a codeword.
//
// # Promises
//
// Same bytes: the papers depend on the manifest, the catalogue, the Terms and the signing key only. The time in them is
// that of the Terms. (Parquet and CSV are the same with the same module versions.)
//
// May run twice: Write begins by deleting the receipt and ends by writing it, so a place without one is not finished, and
// the same call again finishes it wherever it was killed. It holds the delivery's lock meanwhile.
//
// Memory: one row group of the index (RowsPerGroup rows) and the counts; nothing grows with the delivery but the
// manifest itself, the names of shards in croissant.json and the receipt.
//
// # Trust
//
// The store is not trusted. The signature binds every other byte: who can write to the store can lose papers or swap
// them for older ones that were signed as well, but not make any. Whether the public key is the bank's is for the reader to
// know. A receipt says what was delivered, not when: the log does that.
package papers
