package concepts

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func goldenCatalogue(t testing.TB) Catalogue {
	t.Helper()
	b, err := os.ReadFile("testdata/catalogue_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var c Catalogue
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// The expected hash comes from testdata/catalogue_v1.py, which shares no code with this package.
func TestCatalogueHash(t *testing.T) {
	want, err := os.ReadFile("testdata/catalogue_v1.sha256")
	if err != nil {
		t.Fatal(err)
	}
	f, err := goldenCatalogue(t).Freeze()
	if err != nil {
		t.Fatal(err)
	}
	sum := f.Hash()
	if got := hex.EncodeToString(sum[:]); got != strings.TrimSpace(string(want)) {
		t.Errorf("hash %s, python %s; canonical form:\n%q", got, want, f.Canonical())
	}
}

func TestFrozenLookups(t *testing.T) {
	c := goldenCatalogue(t)
	f, err := c.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if got := f.ConceptsOf("b2"); !cmp.Equal(got, []ConceptID{"owner/anna_berg", "semantic/lacs"}) {
		t.Error(got)
	}
	if got := f.WorksOf("semantic/lacs"); !cmp.Equal(got, []WorkID{"b2", "c3"}) {
		t.Error(got)
	}
	if f.ConceptsOf("a1") != nil || f.ConceptsOf("zz") != nil || f.WorksOf("style/x") != nil {
		t.Error("a work without concepts has some")
	}
	if w, ok := f.Work("c3"); !ok || w.Path != "lacs/c.jpg" {
		t.Error(w, ok)
	}
	if _, ok := f.Work("c4"); ok {
		t.Error("found a work that is not there")
	}
	c.Works[0].Keywords[0], c.Concepts[0].Name, c.Memberships[0].Why = "changed", "changed", "changed"
	again, err := f.Catalogue().Freeze()
	if err != nil || again.Hash() != f.Hash() {
		t.Error("changing the input changed the frozen catalogue", err)
	}
}

func TestHashIgnoresOrderAndNothingElse(t *testing.T) {
	c := goldenCatalogue(t)
	f, err := c.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := c
		d.Works = rapid.Permutation(c.Works).Draw(t, "works")
		d.Concepts = rapid.Permutation(c.Concepts).Draw(t, "concepts")
		d.Memberships = rapid.Permutation(c.Memberships).Draw(t, "memberships")
		g, err := d.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		if g.Hash() != f.Hash() {
			t.Fatal("order changed the hash")
		}
	})
	for name, change := range map[string]func(c *Catalogue){
		"version": func(c *Catalogue) { c.Version++ }, "name": func(c *Catalogue) { c.Name += "x" },
		"path": func(c *Catalogue) { c.Works[0].Path += "x" }, "width": func(c *Catalogue) { c.Works[0].Width++ },
		"title moves": func(c *Catalogue) { c.Works[0].Title, c.Works[0].Creator = c.Works[0].Creator, c.Works[0].Title },
		"keyword":     func(c *Catalogue) { c.Works[0].Keywords[1] = "x" }, "column": func(c *Catalogue) { c.Works[0].Columns[1].Value = "x" },
		"rights holder": func(c *Catalogue) { c.Works[0].RightsHolder = "" }, "concept name": func(c *Catalogue) { c.Concepts[0].Name = "x" },
		"why": func(c *Catalogue) { c.Memberships[0].Why = "x" },
	} {
		d := goldenCatalogue(t)
		change(&d)
		if g, err := d.Freeze(); err != nil || g.Hash() == f.Hash() {
			t.Errorf("%s: hash unchanged (%v)", name, err)
		}
	}
	d := goldenCatalogue(t)
	d.Works[0].Visual = nil
	if g, err := d.Freeze(); err != nil || g.Hash() != f.Hash() {
		t.Errorf("the descriptor is not part of the hash (%v)", err)
	}
}

func TestFreezeErrors(t *testing.T) {
	cases := []struct {
		name   string
		change func(c *Catalogue)
		want   string
	}{
		{"no name", func(c *Catalogue) { c.Name = "" }, "give it a name"},
		{"version", func(c *Catalogue) { c.Version = 0 }, "version 0"},
		{"no works", func(c *Catalogue) { c.Works = nil }, "has no works"},
		{"path", func(c *Catalogue) { c.Works[1].Path = "../a" }, `work a1: file path "../a"`},
		{"hash", func(c *Catalogue) { c.Works[1].SHA256 = "00A1" }, `work a1 (a.png): SHA-256 "00A1"`},
		{"size", func(c *Catalogue) { c.Works[1].Height = 0 }, "size 1 x 0"},
		{"columns", func(c *Catalogue) { c.Works[0].Columns[1].Name = "a" }, `columns "collection" and "a"`},
		{"same path", func(c *Catalogue) { c.Works[1].Path = "lacs/c.jpg" }, `works a1 and c3 have the same path`},
		{"same bytes", func(c *Catalogue) { c.Works[1].SHA256 = c.Works[2].SHA256 }, `works a1 and c3 have the same SHA-256`},
		{"same ID", func(c *Catalogue) { c.Works[1].ID = "c3" }, `same work ID c3`},
		{"concept ID", func(c *Catalogue) { c.Concepts[0].ID = "lacs" }, `concept ID "lacs"`},
		{"concept kind", func(c *Catalogue) { c.Concepts[0].Kind = Style }, `of another kind than its ID`},
		{"concept twice", func(c *Catalogue) { c.Concepts[0] = c.Concepts[1] }, `owner/anna_berg (kind "owner", name "Anna Berg") is listed twice`},
		{"concept without works", func(c *Catalogue) { c.Memberships = c.Memberships[:2] }, `concept owner/anna_berg has no works`},
		{"unknown work", func(c *Catalogue) { c.Memberships[0].Work = "z" }, `membership of work "z"`},
		{"unknown concept", func(c *Catalogue) { c.Memberships[0].Concept = "style/z" }, `in concept "style/z"`},
		{"membership twice", func(c *Catalogue) { c.Memberships[0] = c.Memberships[1] }, `is listed twice`},
		{"no reason", func(c *Catalogue) { c.Memberships[0].Why = "" }, `give rule and reason`},
		{"five concepts", func(c *Catalogue) {
			for _, id := range []ConceptID{"style/a", "style/b", "style/c"} {
				c.Concepts = append(c.Concepts, Concept{id, Style, "x"})
				c.Memberships = append(c.Memberships, Membership{"b2", id, "r", "w"})
			}
		}, "work b2 has more than 4 concepts"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			catalogue := goldenCatalogue(t)
			c.change(&catalogue)
			if _, err := catalogue.Freeze(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
