// Package jobs works on what takes long, a delivery or an import, by any number of processes on many machines, on the
// registry's own database: River is the queue there, on SQLite as on PostgreSQL.
//
// # What is true where
//
// The registry says what was asked for and how far it is: a job has stages, one after the other, and each stage has
// parts, which any number of workers do at once. River holds no more than tickets, each of which says "work on this
// part, in this run of the job". Tickets can be lost, doubled or stolen without harm: who takes one up asks the registry
// in one transaction whether there is something to do, and who is done writes so in the transaction that makes the
// tickets of what follows. A job that runs and has no ticket gets new ones, so that also a registry restored from a dump
// goes on.
//
// A delivery has the stages
//
//	delivery_plan -> delivery_part, of each some works -> delivery_seal -> delivery_shard -> delivery_finish
//
// and, outside of them, delivery_sweep some time later if a worker was lost, and delivery_abandon if it was cancelled. An
// import is one part that goes on where it stopped (stage import).
//
// # Contract
//
// Durability: what a part has done is in its place, durable, before the registry says so.
//
// May run twice: every part is done at least once, and doing it again changes nothing. Exactly one marked object per
// work and delivery follows from package delivery, which writes the same bytes under the same name, and from the fence:
//
// Fence: every process beats in the registry, every [Timing].Beat, and one that was not heard for Dead is buried: its
// parts are others' from then on. So that it cannot write afterwards, who writes checks before each change of the place
// that its last beat that was answered was sent less than Fence ago, by a clock that nobody sets and that goes on while
// the machine sleeps; Fence is less than Dead, and the check asks nobody. What a process writes that is stopped between
// the check and the write has the bytes and the name that are there already, or lies in staging, where the sweep finds
// it. A process that finds itself buried stops what it does and begins anew under another name. One that has ended on
// the same machine is buried at once, without waiting: a killed run goes on at the next start.
//
// Fairness: a job has only so many tickets waiting at a time ([lookahead]); whoever takes one up puts the next one in line
// behind those of other jobs. So jobs of one priority share the workers evenly, whatever their size. Every bank has a
// queue of its own, and a worker gives the banks it works for the same share of its slots.
//
// Failures: a part that fails is tried again after a pause that doubles each time, up to Tries times; then the job is
// failed, says why, and goes on where it was when somebody retries it. What will not pass by itself (another delivery in the
// place, a licence that does not hold) fails the job at once. A master that is out of reach is asked for again like
// that, and refused in the end; but if the masters' place is away, or not one master of a part can be had, the job fails
// instead. A delivery whose licence has ended or was revoked, or of works that are recalled or reserved by now, fails: when
// it is planned, set going again, and before its manifest is written ([Allowed]). A work over which workers die is tried alone, and set aside once it has done so
// more than Poison times.
//
// Pause and cancel take effect before the next work or change of the place, within a second or so. Once a worker has
// begun to write the manifest, cancelling is refused until that is done or the worker has stopped and the place holds none:
// so registry and place agree. What was under way to the place when a job was cancelled may still arrive within
// [longestPut]; it is removed then.
//
// # Trust
//
// Who can write to the registry can have workers read and write any place that they can open, and mark with any delivery
// key of the banks whose keys they hold, under any name: keep it as safe as the keys. The queue and the registry hold no
// keys; a worker brings its own.
package jobs
