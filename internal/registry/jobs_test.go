package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func worker(t testing.TB, r *Registry, id string) string {
	t.Helper()
	must(t, r.AddWorker(ctx, ops, Worker{ID: id, Host: "h"}))
	return id
}

// begun adds a job, ends its first stage and gives the tickets of the second.
func begun(t testing.TB, r *Registry, id, worker string, parts int) []Ticket {
	t.Helper()
	must(t, errOf(r.AddJob(ctx, ours, jobOf(id), noon)))
	first := get[[]Ticket](t)(r.IssueParts(ctx, ours, id, 10, noon))
	if len(first) != 1 {
		t.Fatalf("a new job has the tickets %v", first)
	}
	b := get[*Begun](t)(r.BeginPart(ctx, ours, first[0], worker, noon))
	if !b.First || b.Job.State != JobRunning {
		t.Fatalf("%+v", b)
	}
	if n := get[int](t)(endPart(r, ours, first[0], PartEnd{Total: int64(parts), Then: Stage{"mark", parts}})); n != 1 {
		t.Fatal("the only part was not the last")
	}
	return get[[]Ticket](t)(r.IssueParts(ctx, ours, id, parts, noon))
}

// TestJobStages ends the parts of a stage from many goroutines at once: one is told that it was the last.
func TestJobStages(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		w := worker(t, r, "one")
		const parts = 17
		tickets := begun(t, r, "j", w, parts)
		if len(tickets) != parts || len(get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 5, noon))) != 0 {
			t.Fatal(tickets)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		last := 0
		for _, ticket := range append(tickets, tickets...) { // each twice, as with a ticket that was stolen
			wg.Go(func() {
				if _, err := r.BeginPart(ctx, ours, ticket, w, noon); err != nil {
					t.Error(err)
				}
				n, err := endPart(r, ours, ticket, PartEnd{Done: 10, Refused: 1, Then: Stage{"seal", 1}})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				last += n
			})
		}
		wg.Wait()
		j := get[Job](t)(r.Job(ctx, ours, "j"))
		if last != 1 || j.Stage != "seal" || j.Parts != 1 || j.Left != 1 || j.Done != 10*parts || j.Refused != parts || j.Total != parts {
			t.Fatalf("%d were last; %+v", last, j)
		}
		seal := get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 5, noon))
		get[*Begun](t)(r.BeginPart(ctx, ours, seal[0], w, noon))
		get[int](t)(endPart(r, ours, seal[0], PartEnd{}))
		if j = get[Job](t)(r.Job(ctx, ours, "j")); j.State != JobFinished || j.Ended.IsZero() {
			t.Fatalf("%+v", j)
		}
		if b := get[*Begun](t)(r.BeginPart(ctx, ours, seal[0], w, noon)); b != nil {
			t.Fatalf("a part of a finished job was begun: %+v", b)
		}
	})
}

// TestJobMoves: every pair of states, as for deliveries; and a new run makes the old tickets void.
func TestJobMoves(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		w := worker(t, r, "one")
		tickets := begun(t, r, "j", w, 3)
		get[*Begun](t)(r.BeginPart(ctx, ours, tickets[0], w, noon))
		get[int](t)(endPart(r, ours, tickets[0], PartEnd{Done: 1, Then: Stage{"seal", 1}}))
		get[*Begun](t)(r.BeginPart(ctx, ours, tickets[1], w, noon))
		move := func(to JobState) Changes {
			t.Helper()
			_, c, err := r.MoveJob(ctx, ours, "j", to, "because", noon)
			must(t, err)
			return c
		}
		changed(t, move(JobPaused), Changes{Changed: 1})
		changed(t, move(JobPaused), Changes{Unchanged: 1})
		if b := get[*Begun](t)(r.BeginPart(ctx, ours, tickets[2], w, noon)); b != nil {
			t.Fatal("a part of a paused job was begun")
		}
		// What is done while the job is paused stays done.
		get[int](t)(endPart(r, ours, tickets[1], PartEnd{Done: 1, Then: Stage{"seal", 1}}))
		changed(t, move(JobRunning), Changes{Changed: 1})
		if b := get[*Begun](t)(r.BeginPart(ctx, ours, tickets[2], w, noon)); b != nil {
			t.Fatal("a ticket of an earlier run is good")
		}
		again := get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 10, noon))
		if !cmp.Equal(again, []Ticket{{"j", 2, "mark", 2}}) {
			t.Fatal(again)
		}
		get[*Begun](t)(r.BeginPart(ctx, ours, again[0], w, noon))
		for i := range 3 {
			if n := get[int](t)(r.LeavePart(ctx, ours, again[0], w, true, "the disk\x00 is full", noon)); n != i+1 {
				t.Fatal(n)
			}
			get[*Begun](t)(r.BeginPart(ctx, ours, again[0], w, noon))
		}
		if n := get[int](t)(r.LeavePart(ctx, ours, again[0], w, false, "", noon)); n != 3 {
			t.Fatal("handed back, but counted")
		}
		changed(t, move(JobFailed), Changes{Changed: 1})
		changed(t, move(JobRunning), Changes{Changed: 1})
		if p := get[List[JobPart]](t)(r.JobParts(ctx, ours, "j", PartWaiting, Page{})); len(p.Items) != 1 || p.Items[0].Tries != 0 {
			t.Fatalf("%+v", p)
		}
		late := get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 1, noon))[0]
		get[*Begun](t)(r.BeginPart(ctx, ours, late, w, noon))
		changed(t, move(JobCancelled), Changes{Changed: 1})
		if n := get[int](t)(endPart(r, ours, late, PartEnd{Done: 1, Then: Stage{"seal", 1}})); n != 0 {
			t.Fatal("a part of a cancelled job counts")
		}
		if p := get[List[JobPart]](t)(r.JobParts(ctx, ours, "j", PartRunning, Page{})); len(p.Items) != 0 {
			t.Fatalf("somebody works on a cancelled job: %+v", p)
		}
		for _, to := range JobStates() {
			if to != JobCancelled {
				_, _, err := r.MoveJob(ctx, ours, "j", to, "", noon)
				wants(t, err, ErrState)
			}
		}
		_, _, err := r.MoveJob(ctx, ours, "nobody's", JobPaused, "", noon)
		wants(t, err, ErrNotFound)
		other := jobOf("j")
		other.Subject = "d2"
		_, err = r.AddJob(ctx, ours, other, noon)
		wants(t, err, ErrConflict)
		changed(t, get[Changes](t)(r.AddJob(ctx, ours, jobOf("j"), noon)), Changes{Unchanged: 1})
		if l := all(t, 1, func(p Page) (List[JobPart], error) { return r.JobParts(ctx, ours, "j", "", p) }); len(l) != 4 {
			t.Fatalf("%+v", l)
		}
	})
}

// TestDeadWorkers: who is silent or gone is buried once, by whoever calls; his parts wait for others, the work in hand is
// remembered, and he can begin nothing more.
func TestDeadWorkers(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		for _, id := range []string{"silent", "gone", "alive"} {
			worker(t, r, id)
		}
		tickets := begun(t, r, "j", "silent", 4)
		for i, w := range []string{"silent", "gone", "alive"} {
			get[*Begun](t)(r.BeginPart(ctx, ours, tickets[i], w, noon))
			must(t, r.NoteParts(ctx, ours, w, []PartNote{{Ticket: tickets[i], Done: 5, Refused: 1, Hand: "work-" + w}}, noon))
		}
		if j := get[Job](t)(r.Job(ctx, ours, "j")); j.Done != 15 || j.Refused != 3 {
			t.Fatalf("%+v", j)
		}
		time.Sleep(1100 * time.Millisecond)
		for _, w := range []string{"alive", "gone"} {
			if !get[bool](t)(r.BeatWorker(ctx, ops, w)) {
				t.Fatal(w)
			}
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var buried []string
		for range 6 {
			wg.Go(func() {
				ids, err := r.BuryWorkers(ctx, ops, time.Second, []string{"gone"}, noon)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				buried = append(buried, ids...)
			})
		}
		wg.Wait()
		slices.Sort(buried)
		if !slices.Equal(buried, []string{"gone", "silent"}) {
			t.Fatal(buried)
		}
		j := get[Job](t)(r.Job(ctx, ours, "j"))
		if j.Deaths != 2 || j.Lost != 1 || j.Done != 5 {
			t.Fatalf("%+v", j)
		}
		l := get[List[JobPart]](t)(r.JobParts(ctx, ours, "j", PartWaiting, Page{})).Items
		if len(l) != 2 || l[0].Deaths != 1 || !cmp.Equal(l[0].Falls, map[string]int{"work-silent": 1}) {
			t.Fatalf("%+v", l)
		}
		if get[bool](t)(r.BeatWorker(ctx, ops, "silent")) {
			t.Error("the dead beats")
		}
		_, err := r.BeginPart(ctx, ours, tickets[3], "silent", noon)
		wants(t, err, ErrState)
		// Nor may he speak for the part that is another's by now.
		get[*Begun](t)(r.BeginPart(ctx, ours, tickets[0], "alive", noon))
		must(t, r.NoteParts(ctx, ours, "silent", []PartNote{{Ticket: tickets[0], Done: 99}}, noon))
		if n := get[int](t)(r.LeavePart(ctx, ours, tickets[0], "silent", true, "", noon)); n != 0 {
			t.Error(n)
		}
		if j := get[Job](t)(r.Job(ctx, ours, "j")); j.Done != 5 {
			t.Errorf("%+v", j)
		}
		// Set going again it is as if nobody had died over it.
		for _, to := range []JobState{JobPaused, JobRunning} {
			_, _, err := r.MoveJob(ctx, ours, "j", to, "", noon)
			must(t, err)
		}
		for _, p := range get[List[JobPart]](t)(r.JobParts(ctx, ours, "j", PartWaiting, Page{})).Items {
			if p.Deaths != 0 || len(p.Falls) != 0 {
				t.Errorf("%+v", p)
			}
		}
		must(t, r.EndWorker(ctx, ops, "alive"))
		var states []string
		for _, w := range all(t, 2, func(p Page) (List[Worker], error) { return r.Workers(ctx, ops, "", p) }) {
			states = append(states, fmt.Sprint(w.ID, " ", w.State))
		}
		if got := strings.Join(states, ", "); got != "alive gone, gone dead, silent dead" {
			t.Error(got)
		}
		wants(t, r.AddWorker(ctx, ops, Worker{ID: "gone", Host: "h"}), ErrConflict)
	})
}

// TestReopenedParts: a stage whose parts turn out not to be done is gone back to, once, and only those parts are issued.
func TestReopenedParts(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		w := worker(t, r, "one")
		for _, ticket := range begun(t, r, "j", w, 5) {
			get[*Begun](t)(r.BeginPart(ctx, ours, ticket, w, noon))
			get[int](t)(endPart(r, ours, ticket, PartEnd{Done: 2, Refused: 1, Then: Stage{"seal", 1}}))
		}
		seal := get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 9, noon))[0]
		get[*Begun](t)(r.BeginPart(ctx, ours, seal, w, noon))
		reopen := func() bool {
			t.Helper()
			_, ok, err := r.ReopenParts(ctx, ours, seal, Stage{"mark", 5}, []int{1, 3}, []string{"seal"}, noon)
			must(t, err)
			return ok
		}
		if !reopen() || reopen() {
			t.Fatal("a ticket reopens parts once")
		}
		j := get[Job](t)(r.Job(ctx, ours, "j"))
		if j.Stage != "mark" || j.Parts != 5 || j.Left != 2 || j.Done != 6 || j.Refused != 3 {
			t.Fatalf("%+v", j)
		}
		again := get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 9, noon))
		if !cmp.Equal(again, []Ticket{{"j", 2, "mark", 1}, {"j", 2, "mark", 3}}) {
			t.Fatal(again)
		}
		for _, ticket := range again {
			get[*Begun](t)(r.BeginPart(ctx, ours, ticket, w, noon))
			get[int](t)(endPart(r, ours, ticket, PartEnd{Done: 2, Then: Stage{"seal", 1}}))
		}
		seal = get[[]Ticket](t)(r.IssueParts(ctx, ours, "j", 9, noon))[0]
		if b := get[*Begun](t)(r.BeginPart(ctx, ours, seal, w, noon)); b == nil {
			t.Fatal("the later stage is done already")
		}
		_, _, err := r.ReopenParts(ctx, ours, seal, Stage{"mark", 5}, []int{7}, nil, noon)
		wants(t, err, ErrState)
		// From the start again, nothing of it counts any more.
		j, ok, err := r.ReopenParts(ctx, ours, seal, Stage{"plan", 1}, []int{0}, []string{"mark", "seal"}, noon)
		must(t, err)
		if !ok || j.Done != 0 || j.Refused != 0 || j.Stage != "plan" {
			t.Fatalf("%v %+v", ok, j)
		}
	})
}
