package main

import (
	"sort"

	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/internal/workspace"
)

// merger brings the records of earlier imports up to date with what is found now. A work is its bytes: the same
// bytes at another path have moved, other bytes at the same path are another work.
type merger struct {
	old      map[string]workspace.Record // by path
	oldPath  map[string]string           // by hash
	inScope  func(rel string) bool
	checksum bool
	kept     map[string]workspace.Record // not read again, by path
	results  []result
	seen     map[string]bool // paths found now

	added, changed, moved, unchanged int
	missing                          []string
	refusals                         []refusalJSON
}

func newMerger(old []workspace.Record, inScope func(string) bool, checksum bool) *merger {
	m := &merger{old: map[string]workspace.Record{}, oldPath: map[string]string{}, inScope: inScope, checksum: checksum, kept: map[string]workspace.Record{}, seen: map[string]bool{}}
	for _, r := range old {
		m.old[r.Path] = r
		m.oldPath[r.SHA256] = r.Path
		if !inScope(r.Path) {
			m.kept[r.Path] = r
		}
	}
	return m
}

// todo gives the files that must be read.
func (m *merger) todo(files []found) []found {
	var todo []found
	for _, f := range files {
		m.seen[f.rel] = true
		if r, ok := m.old[f.rel]; ok && !r.Missing && !m.checksum && r.Bytes == f.size && r.Modified == f.modified {
			m.kept[f.rel] = r
			m.unchanged++
			continue
		}
		todo = append(todo, f)
	}
	return todo
}

// take adds what reading a file gave.
func (m *merger) take(r result) { m.results = append(m.results, r) }

// records gives all records as they are now. With last the counts, refusals and missing works are settled
// too; before that nothing is called missing and files not read yet keep their old record.
func (m *merger) records(last bool) []workspace.Record {
	sort.Slice(m.results, func(i, k int) bool { return m.results[i].file.rel < m.results[k].file.rel })
	n := newMerge(m, last)
	for _, r := range m.results { // files that are what they were have the first claim on their bytes
		if before, ok := m.old[r.file.rel]; ok && r.err == nil && before.SHA256 == r.record.SHA256 {
			n.same(r, before)
		}
	}
	for _, r := range m.results {
		if before, ok := m.old[r.file.rel]; r.err != nil || !ok || before.SHA256 != r.record.SHA256 {
			n.other(r)
		}
	}
	n.rest()
	var all []workspace.Record
	for _, r := range n.byPath {
		all = append(all, r)
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Path < all[k].Path })
	return all
}

// merge is one pass of a merger.
type merge struct {
	*merger
	last   bool
	byPath map[string]workspace.Record
	byHash map[string]string // hash to path, of files that are there
	byNFC  map[string]string // path in Unicode NFC to path
}

func newMerge(m *merger, last bool) *merge {
	n := &merge{merger: m, last: last, byPath: map[string]workspace.Record{}, byHash: map[string]string{}, byNFC: map[string]string{}}
	for _, r := range m.kept {
		n.put(r)
	}
	return n
}

func (n *merge) put(r workspace.Record) {
	n.byPath[r.Path] = r
	n.byNFC[norm.NFC.String(r.Path)] = r.Path
	if !r.Missing {
		n.byHash[r.SHA256] = r.Path
	}
}

// same keeps a file whose bytes are what they were.
func (n *merge) same(r result, before workspace.Record) {
	r.record.Visual = before.Visual
	if n.last {
		if before.Missing {
			n.added++
		} else {
			n.unchanged++
		}
	}
	n.put(r.record)
}

// other takes a file that is new or changed, or refuses it.
func (n *merge) other(r result) {
	switch twin, named := n.byHash[r.record.SHA256], n.byNFC[norm.NFC.String(r.file.rel)]; {
	case r.err != nil:
		n.refuse(refuse(r.file, r.err))
		return
	case twin != "":
		n.refuse(refusalJSON{r.file.rel, "duplicate", "the same bytes as " + twin + ": one work is delivered and paid once"})
		return
	case named != "" && named != r.file.rel:
		n.refuse(refusalJSON{r.file.rel, "bad_path", "the name differs from that of another file only in how accents are composed; rename one"})
		return
	}
	if n.last {
		_, was := n.old[r.file.rel]
		if from := n.movedFrom(r.record); from != "" {
			n.moved++
			delete(n.byPath, from)
		} else if was {
			n.changed++
		} else {
			n.added++
		}
	}
	n.put(r.record)
}

func (n *merge) refuse(r refusalJSON) {
	if n.last {
		n.refusals = append(n.refusals, r)
	}
}

// movedFrom gives the path at which the same bytes were before and are no more.
func (n *merge) movedFrom(rec workspace.Record) string {
	p, ok := n.oldPath[rec.SHA256]
	if ok && p != rec.Path && n.inScope(p) && !n.seen[p] {
		return p
	}
	return ""
}

// rest keeps the records of files that were not found, or not usable, as missing.
func (n *merge) rest() {
	movedTo := map[string]bool{}
	for _, r := range n.byPath {
		movedTo[r.SHA256] = !r.Missing
	}
	for p, o := range n.old {
		if _, ok := n.byPath[p]; ok || movedTo[o.SHA256] {
			continue
		}
		if n.last {
			o.Missing = true
			n.missing = append(n.missing, p)
		}
		n.byPath[p] = o
	}
	sort.Strings(n.missing)
}
