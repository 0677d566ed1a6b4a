// Package concepts says which catalogue images share a mark, and why.
//
// A [Work] is one image of a bank. [Group] puts works into concepts by rules such as "folder",
// "column:collection", "keyword:lake,forest", "creator" or "visual:8" and explains every [Membership].
// A [Catalogue] is a list of works with their concepts at one version; [Catalogue.Freeze] checks it and
// gives it a hash, which is what a licence binds. A [Codebook] numbers concepts and works for good.
// [ReadMetadataCSV] and [Join] bring in a bank's own table.
//
// # Values and identifiers
//
// Two values name the same concept if they are equal after: Unicode NFC, trimming, collapsing inner
// space, and case folding. The first spelling (in order of work ID) is kept as the concept's name.
// The identifier is kind/slug, such as "semantic/mountain_lake": in the folded value, letters, marks,
// digits, "-" and "." stay, a space becomes "_". If anything else had to be replaced or the slug cut at
// 64 bytes, "~" and the first 8 hex digits of the value's SHA-256 follow, so that two values never
// share an identifier, and the identifier of a value never depends on which other values exist.
//
// # Canonical form and hash of a catalogue
//
// [Frozen.Hash] is the SHA-256 of [Frozen.Canonical], which is made of netstrings: N(s) is the decimal
// length of s in bytes, ":", the bytes, ",". L(list) is N(decimal count) and then the items.
//
//	"filigrane catalogue v1\n" N(name) N(version)
//	L(works by ID:       N(id) N(path) N(sha256) N(width) N(height) N(format) N(title) N(creator)
//	                     L(keywords, sorted: N) N(rights holder) L(columns by name: N(name) N(value)))
//	L(concepts by ID:    N(id) N(kind) N(name))
//	L(memberships by work, concept: N(work) N(concept) N(rule) N(why))
//
// Order is bytewise, numbers are decimal without leading zeros. Visual descriptors are left out: they
// are derived from the bytes that sha256 names. testdata/catalogue_v1.py computes the same hash
// independently.
//
// # Text form of a codebook
//
//	filigrane codebook v1
//	c 1 semantic/mountains
//	w 1 5f70bf18a0860070
//	w 2 9c1185a5c5e9fc54
//
// One assignment a line in the order they were made, kind, number, identifier, each line ended by "\n".
// Numbers of a kind run 1, 2, 3 without gaps, so a newer codebook begins with the bytes of an older one.
//
// The package is pure: no files, no network, no clock, no randomness; results do not depend on the
// order of works or, since products are rounded before they are added, on the platform.
package concepts
