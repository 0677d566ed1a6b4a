// Package registry is the database of an installation: tenants, their works, who owns them, what they are grouped
// into, what was licensed and delivered, what was refused and why, and who reserved his rights.
//
// It stands on SQLite, in one file and with nothing to install, or on PostgreSQL for many machines. Schema and
// queries are the same; migrations/ holds them. What differs is named here and nowhere hidden: bytes are loaded by
// COPY on PostgreSQL and by prepared inserts of many rows on SQLite, words are found by a GIN index there and by an
// FTS5 table here.
//
// # Contract
//
// Durability: what a call has written before it returned nil survives a crash of the process and a loss of power
// (SQLite: write-ahead log, synchronous=FULL; PostgreSQL: as its synchronous_commit says). A call is one transaction:
// killed at any moment it has done all or nothing. [Registry.InTx] makes several calls, and whatever the caller
// writes through the transaction's handle, such as a job, one transaction.
//
// Concurrency: all methods may be called from any number of goroutines, and on PostgreSQL processes and machines. On
// SQLite writers take turns, also those of other processes, for which they wait up to [Busy]; readers never wait and
// see the last committed state. On PostgreSQL a transaction that loses a race is run again.
//
// May run twice: every write, given the same content, changes nothing and says so ([Changes]). Content that may
// never change (a licence, a delivered file, a number of the codebook) is refused with [ErrConflict] when it comes
// back different.
//
// Size: 10^8 works of one installation. Lists are read by pages that continue after a key ([Page]); no page reads a
// table or sorts more than it returns, except for words that most works have. Lists go in and out in batches; no call
// makes a query per row.
//
// Isolation: every call takes a [Scope] and sees and changes rows of its tenant only; what belongs to another tenant
// is answered as what does not exist. Which role may make which call is the table matrix in scope.go, and nowhere else.
//
// Order: text is compared by its bytes on both databases. Times are UTC, in microseconds; time is an argument.
//
// Trust: the registry is trusted for convenience, not for evidence. Who can write to it can regroup works, hide
// them, and make deliveries look other than they were, but can forge neither a manifest's signature nor the log that
// committed to it: what proves something can be derived again without this database. It holds no keys.
package registry
