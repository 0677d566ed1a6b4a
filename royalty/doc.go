// Package royalty turns detections into money: credits per concept, then cents per payee.
//
// The way of a cent:
//
//	detections --Credits--> credits per concept --Distribute--> pot -> floor and concepts -> owners -> payees
//
// Words used here and nowhere else in another sense:
//
//   - credit: one sampled output divided among what was detected in it. An output in which nothing was
//     detected is unattributed; credits plus unattributed always equal the number of outputs.
//   - N: the distributable amount of one service and period, in cents.
//   - floor: the part paid by number of works, whatever was detected (pay-to-train).
//   - owner: the rights holder of works (a [Holding] names one). payee: who is paid for an owner
//     ([Ownership]); co-authors are several payees of one owner.
//
// All amounts are int64 cents (the smallest unit of the currency), all weights are exact rationals
// ([big.Rat]), and every division of an amount goes through [Split], so that no cent is made or lost
// and the order of the input decides nothing. Nothing here reads a clock, a file or a random number.
//
// Where cents are rounded: (1) N into base floor and marked share; (2) the marked share into concept
// groups and the unattributed pot; (3) a group into its concepts, if it has several; (4) floor into
// owners, by works; (5) each concept into owners, by works; (6) the gross of an owner, summed over the
// whole pot, into payees. Payees are reached last and once, because a co-author paid per concept would
// lose or win up to a cent in every one of thousands of concepts.
//
// A value that breaks the shape of a call (a nil weight) panics with "royalty: ..."; a value that is
// wrong as data is an error that names it and says what to do.
package royalty

// Unclaimed is the reserved payee of what has no known owner or no known payee. Such money is kept for
// whoever proves the right later; it is never given to the other payees.
const Unclaimed = "unclaimed"
