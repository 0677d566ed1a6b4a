// Package tlogproof holds what a transparency log hands out and what convinces a stranger without the log: checkpoints
// signed by the log and cosigned by witnesses, proofs of inclusion and of consistency, and proofs that a log has shown two
// histories. It does no I/O; times are arguments.
//
// # Formats
//
// A checkpoint is a signed note as c2sp.org/tlog-checkpoint has it: the log's origin, the number of its entries, the root
// of the RFC 6962 tree over them, an empty line, and one line for each signature. The log signs with Ed25519
// (c2sp.org/signed-note, type 1), witnesses with timestamped Ed25519 (c2sp.org/tlog-cosignature, type 4; ML-DSA-44, type 6,
// is verified too):
//
//	bank.example/log
//	3
//	lPvQ3YNvUDAWkubQ6t5yjuGexSv/8WBu2AfIV11aqhk=
//
//	— bank.example/log QHkp6dDcUtN+cfsWEwiFaBl3eTIDVGrBjX6DkZtPy/aOWhVLuiHHW0jW4+TyQTx1pcJcNEjNtZBIHPjZNPDJy9TGuA8=
//	— witness0.example s9ch/gAAAABqsTuAx+YFYU/RZfNkLfcdcA2gGbit2Z4aNm1Fx97U+yIS6bllFDc9tUSTt390+ZvmERmllJWZE8tYPdrxD4AorcTyBQ==
//
// Inclusion, Consistency and Fork are written as JSON in the form of RFC 8785: keys in order, no spaces, so one value has
// one text. Parsing refuses every other text. That "entry 1" is the second of the three entries above (the example of
// Inclusion.Verify verifies it; testdata/vectors.json has more, and testdata/vectors.py made them from the specifications):
//
//	{"checkpoint":"bank.example/log\n3\nlPvQ3YNv...","hashes":["dziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwE=",
//	"V8efTzGuApxdS9MLBzwnyU35NDiytGl+Hh7vW8A5SkE="],"index":1,"size":3}
//
// Inclusion can also be written as c2sp.org/tlog-proof, for programs of others.
//
// # What is promised
//
// Nothing here is believed before a key of the Policy has signed it: what Policy.Open, Policy.OpenLog and the Verify methods
// return is verified, ParseUnverified says in its name what it is. Whoever writes the texts can make them fail and nothing
// else, as long as SHA-256 and the signatures hold. A log that signs two histories cannot be seen from one of them: that is
// what witnesses are for, and what Fork shows.
//
// A cosignature says: of what this witness has seen of the log, all of it is contained in this tree, and the tree was the
// largest it had seen at the stated time, by its own clock. It says nothing about the entries.
package tlogproof
