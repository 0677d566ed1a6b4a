package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// WorkerState is where a worker stands.
type WorkerState string

// The states of a worker.
const (
	WorkerAlive WorkerState = "alive"
	WorkerGone  WorkerState = "gone" // it said so
	WorkerDead  WorkerState = "dead" // it was found to be; it may come back to life, under another id
)

// Worker is a process that works on jobs, of any tenants.
type Worker struct {
	ID   string
	Host string // for people
	// Realm names where PID means something: one machine since its start, one container. Process tells processes apart
	// that had the same number. Both empty where the system does not tell.
	Realm, Process string
	PID            int
	State          WorkerState
	// Started and Beat, the last sign of life, are by the clock of the database.
	Started, Beat time.Time
}

const workerColumns = "id, host, realm, process, state, pid, started, beat"

var (
	workerByID     = lookup("worker by id", "SELECT "+workerColumns+" FROM workers WHERE id = $1", "worker000100")
	workersByID    = paged("workers by id", "s", "SELECT "+workerColumns+" FROM workers WHERE id > $1 ORDER BY id")
	workersInState = paged("workers in a state", "s", "SELECT "+workerColumns+" FROM workers WHERE state = $1 AND id > $2 ORDER BY id", string(WorkerAlive))
)

func scanWorker(r rows) (w Worker, err error) {
	var pid, started, beat int64
	err = r.Scan(&w.ID, &w.Host, &w.Realm, &w.Process, &w.State, &pid, &started, &beat)
	w.PID, w.Started, w.Beat = int(pid), at(started), at(beat)
	return w, err
}

// clock is the time by the database's clock in microseconds, which no worker's own clock disturbs: those of SQLite are
// all on one machine.
func (t *tx) clock() string {
	if t.pg != nil {
		return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	}
	return "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"
}

// keptWorkers is for how long it is remembered who once worked.
const keptWorkers = 7 * 24 * time.Hour

// AddWorker registers a process, which from then on is alive as long as it beats. An id is used once: ErrConflict.
func (r *Registry) AddWorker(ctx context.Context, s Scope, w Worker) error {
	for what, text := range map[string]string{"worker": w.ID, "host": w.Host} {
		if err := checkID(what, text); err != nil {
			return err
		}
	}
	return r.write(ctx, s, "AddWorker", func(t *tx, _ int64) error {
		found, err := one(ctx, t, "SELECT 1 FROM workers WHERE id = $1", []any{w.ID}, new(int64))
		if err != nil {
			return err
		}
		if found {
			return fmt.Errorf("%w: worker %s", ErrConflict, w.ID)
		}
		if _, err := t.exec(ctx, "DELETE FROM workers WHERE state <> 'alive' AND beat < "+t.clock()+" - $1", keptWorkers.Microseconds()); err != nil {
			return err
		}
		_, err = t.exec(ctx, "INSERT INTO workers (id, host, realm, process, pid, state, started, beat) VALUES ($1, $2, $3, $4, $5, 'alive', "+t.clock()+", "+t.clock()+")",
			w.ID, w.Host, w.Realm, w.Process, int64(w.PID))
		return err
	})
}

// BeatWorker is a worker's sign of life. alive is false if it was declared dead, which is final: its parts are others'.
func (r *Registry) BeatWorker(ctx context.Context, s Scope, id string) (alive bool, err error) {
	err = r.write(ctx, s, "BeatWorker", func(t *tx, _ int64) error {
		n, err := t.exec(ctx, "UPDATE workers SET beat = "+t.clock()+" WHERE id = $1 AND state = 'alive'", id)
		alive = n > 0
		return err
	})
	return alive, err
}

// EndWorker notes that a worker has stopped of itself. Parts it has not handed back wait for others, and count as no death.
func (r *Registry) EndWorker(ctx context.Context, s Scope, id string) error {
	return r.write(ctx, s, "EndWorker", func(t *tx, _ int64) error {
		if _, err := t.exec(ctx, "UPDATE workers SET state = 'gone', beat = "+t.clock()+" WHERE id = $1 AND state = 'alive'", id); err != nil {
			return err
		}
		_, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting' WHERE worker = $1 AND state = 'running'", id)
		return err
	})
}

// alive returns ErrState unless a worker is.
func (t *tx) alive(ctx context.Context, id string) error {
	state := WorkerGone
	err := each(ctx, t, workerByID.text, []any{id}, func(r rows) error {
		w, err := scanWorker(r)
		state = w.State
		return err
	})
	if err == nil && state != WorkerAlive {
		err = fmt.Errorf("%w: worker %s is %s", ErrState, id, state)
	}
	return err
}

// Workers lists workers by id, those in a state if one is given.
func (r *Registry) Workers(ctx context.Context, s Scope, state WorkerState, p Page) (l List[Worker], err error) {
	err = r.read(ctx, s, "Workers", func(q querier, _ int64) error {
		st, args := workersByID, []any(nil)
		if state != "" {
			st, args = workersInState, []any{string(state)}
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (Worker, []any, error) {
			w, err := scanWorker(r)
			return w, []any{w.ID}, err
		})
		return err
	})
	return l, err
}

// BuryWorkers declares workers dead: those of which nothing was heard for so long, and those of gone, of which the caller
// knows that their process has ended. Their parts wait for others, with one more death each, and the work in hand with one
// more fall. It gives whom it buried; each is buried once, whoever calls.
func (r *Registry) BuryWorkers(ctx context.Context, s Scope, silence time.Duration, gone []string, now time.Time) (buried []string, err error) {
	err = r.write(ctx, s, "BuryWorkers", func(t *tx, _ int64) error {
		buried = nil
		var dead []string
		silent := map[string]bool{}
		err := each(ctx, t, "SELECT id, CASE WHEN beat < "+t.clock()+" - $1 THEN 1 ELSE 0 END FROM workers WHERE state = 'alive' ORDER BY id", []any{silence.Microseconds()}, func(r rows) error {
			var id string
			var quiet int64
			if err := r.Scan(&id, &quiet); err != nil {
				return err
			}
			is := slices.Contains(gone, id)
			if quiet != 0 || is {
				dead = append(dead, id)
				silent[id] = !is
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range dead {
			// Of two who bury him the second waits here for the first, and then finds nothing to do. A beat may have come meanwhile.
			args, still := []any{id}, ""
			if silent[id] {
				args, still = append(args, silence.Microseconds()), " AND beat < "+t.clock()+" - $2"
			}
			n, err := t.exec(ctx, "UPDATE workers SET state = 'dead' WHERE id = $1 AND state = 'alive'"+still, args...)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			buried = append(buried, id)
			if err := t.bury(ctx, id, silent[id], now); err != nil {
				return err
			}
		}
		return nil
	})
	return buried, err
}

// bury takes a dead worker's parts from him.
func (t *tx) bury(ctx context.Context, id string, silent bool, now time.Time) error {
	type part struct {
		job, part          int64
		stage, hand, falls string
	}
	var parts []part
	err := each(ctx, t, partsOf.text, []any{id}, func(r rows) error {
		var p part
		err := r.Scan(&p.job, &p.stage, &p.part, &p.hand, &p.falls)
		parts = append(parts, p)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		falls := map[string]int{}
		if err := json.Unmarshal([]byte(p.falls), &falls); err != nil {
			return fmt.Errorf("registry: falls of part %d of stage %s: %w", p.part, p.stage, err)
		}
		if p.hand != "" {
			falls[p.hand]++
		}
		text := strings.TrimSpace(string(mustJSON(falls)))
		_, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting', deaths = deaths + 1, done = 0, refused = 0, hand = '', falls = $1, changed = $2 WHERE job = $3 AND stage = $4 AND part = $5 AND worker = $6 AND state = 'running'",
			text, micros(now), p.job, p.stage, p.part, id)
		if err != nil {
			return err
		}
		lost := int64(0)
		if silent {
			lost = 1
		}
		if _, err := t.exec(ctx, "UPDATE jobs SET deaths = deaths + 1, lost = lost + $1 WHERE n = $2", lost, p.job); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what cannot be kept in a text.
func printable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
