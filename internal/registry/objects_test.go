package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestObjects: what was kept comes back, in the order of names, below a folder only; the same again changes nothing.
func TestObjects(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		o := func(name, content string) Object {
			x := objectOf(content)
			x.Name = name
			return x
		}
		list := []Object{o("a/z.jpg", "w1"), o("a.jpg", "w2"), o("a/é.jpg", "w3"), o("a/b/c.jpg", "w4"), o("a0.jpg", "w5"), o("B.jpg", "w6")}
		changed(t, get[Changes](t)(r.PutObjects(ctx, ours, list)), Changes{Added: 6})
		changed(t, get[Changes](t)(r.PutObjects(ctx, ours, list)), Changes{Unchanged: 6})
		names := func(folder string) (names []string) {
			for _, x := range all(t, 2, func(p Page) (List[Object], error) { return r.Objects(ctx, ours, folder, p) }) {
				names = append(names, x.Name)
			}
			return names
		}
		for folder, want := range map[string][]string{"": {"B.jpg", "a.jpg", "a/b/c.jpg", "a/z.jpg", "a/é.jpg", "a0.jpg"}, "a/": {"a/b/c.jpg", "a/z.jpg", "a/é.jpg"}, "c/": nil} {
			if diff := cmp.Diff(want, names(folder)); diff != "" {
				t.Errorf("below %q: %s", folder, diff)
			}
		}
		if diff := cmp.Diff([]Object{list[0]}, get[[]Object](t)(r.ObjectsAt(ctx, ours, []string{"a/z.jpg", "nowhere", "bad\xff"}))); diff != "" {
			t.Errorf("what comes back: %s", diff)
		}
		if _, err := r.Objects(ctx, ours, "a", Page{}); err == nil {
			t.Error("a folder without a slash was taken")
		}

		lost := list[1]
		lost.Missing, lost.Modified = true, lost.Modified.Add(time.Nanosecond)
		changed(t, get[Changes](t)(r.PutObjects(ctx, ours, []Object{lost})), Changes{Changed: 1})
		if diff := cmp.Diff([]Object{lost}, get[[]Object](t)(r.ObjectsBySHA256(ctx, ours, sha("w2")))); diff != "" {
			t.Errorf("by its bytes: %s", diff)
		}
		if l := get[List[Object]](t)(r.MissingObjects(ctx, ours, Page{})); len(l.Items) != 1 || l.Items[0].Name != "a.jpg" {
			t.Errorf("missing: %+v", l)
		}
		have := get[map[[32]byte]bool](t)(r.HaveObjects(ctx, ours, [][32]byte{sha("w1"), sha("w2"), sha("w9")}))
		if diff := cmp.Diff(map[[32]byte]bool{sha("w1"): true}, have); diff != "" {
			t.Errorf("bytes that are there: %s", diff)
		}
		changed(t, get[Changes](t)(r.DropObjects(ctx, ours, []string{"a.jpg", "nowhere", "bad\xff"})), Changes{Removed: 1, Unchanged: 2})
		for _, bad := range []Object{o("../x.jpg", "w1"), o("x\n.jpg", "w1"), {Name: "x.jpg"}} {
			if _, err := r.PutObjects(ctx, ours, []Object{bad}); err == nil {
				t.Errorf("%q was taken", bad.Name)
			}
		}
	})
}

// TestLookups: states and parties of many at once; what is not there is left out.
func TestLookups(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		states, err := r.WorkStates(ctx, ours, workIDs("w1", "w3", "w9"))
		must(t, err)
		if len(states) != 2 || states["w1"] != Recalled || states["w3"] != Active {
			t.Errorf("states %v", states)
		}
		anna := Party{"anna", "Anna Berg", []Identifier{{"ipi", "00052210040"}, {"isni", "0000000121032683"}}}
		if diff := cmp.Diff([]Party{anna, {"bo", "Bo", nil}}, get[[]Party](t)(r.PartiesByID(ctx, ours, []string{"bo", "anna", "cy"}))); diff != "" {
			t.Error(diff)
		}
		found := get[[]Party](t)(r.PartiesByIdentifier(ctx, ours, []Identifier{{"isni", "0000000121032683"}, {"ipi", "00052210040"}, {"ipi", "1"}, {"", ""}}))
		if diff := cmp.Diff([]Party{anna}, found); diff != "" {
			t.Error(diff)
		}
	})
}
