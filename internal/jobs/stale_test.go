package jobs

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/filigrane/filigrane/internal/registry"
)

// TestStaleResult: who ends a part that others have done long ago changes nothing of what came out of the job.
func TestStaleResult(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	q := f.queue(t)
	f.deliver(t, q, "d1", filepath.Join(t.TempDir(), "place"))
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	before := f.job(t, "d1")
	late := func(stage string, run int) {
		t.Helper()
		h := &held{s: &session{q: q, ctx: ctx}, t: ticket{Tenant: bank.Tenant, Job: "d1", Run: run, Stage: stage}, scope: bank, job: before}
		must(t, h.end(&outcome{PartEnd: registry.PartEnd{Then: registry.Stage{Name: stagePart, Parts: 1}}, job: json.RawMessage(`{"making":"an old one"}`)}))
	}
	late(stagePlan, 1)
	late(stageFinish, 1)
	if j := f.job(t, "d1"); string(j.Result) != string(before.Result) || j.State != registry.JobFinished {
		t.Errorf("%s, then %s", before.Result, j.Result)
	}
}
