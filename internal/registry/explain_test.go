package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// sorting are the queries that may sort what they found, and why.
var sorting = map[string]string{
	"works by words (PostgreSQL)": "a GIN index has no order; the planner follows works' own order instead where a word is common",
}

// tied are the queries whose pages continue after two keys of which SQLite searches the first only, and why that will do.
var tied = map[string]string{
	"works by path":      "few works have one path",
	"catalogue versions": "a catalogue has few versions",
}

var pair = regexp.MustCompile(`\(\w+,\w+\)>\(\?,\?\)`)

// wide fills every table for two banks as a large installation would look to a planner: many rows of each, few of them
// for any one key. It writes rows as they are: what is tested is how they are found.
func wide(t testing.TB, r *Registry, n int) {
	t.Helper()
	fill := func(tab *table, rows int, row func(i int) []any) {
		t.Helper()
		list := make([][]any, rows)
		for i := range list {
			list[i] = row(i)
		}
		must(t, r.transact(ctx, false, func(tx *tx) error { return tx.insertNumbered(ctx, tab, list) }))
	}
	w := func(i int) string { return numbered6("w", i/2) }
	num := func(i int) int64 { return int64(i + 10) } // beyond those of fresh
	bank := func(i int) int64 { return int64(i%2 + 1) }
	h := func(i int) []byte { s := sha(fmt.Sprint(i)); return s[:] }
	of := func(i, m int, prefix string) string { return numbered6(prefix, i/2%m) }
	fill(tenantsTable, n, func(i int) []any { return []any{num(i), int64(0), numbered6("t", i), "bank", "x"} })
	fill(worksTable, n, func(i int) []any {
		return []any{num(i), bank(i), int64(i), int64(i / 50), int64(9), int64(1), int64(1), int64(i / 2 % 50 / 48), h(i), h(i)[:16], w(i), "p/" + w(i) + ".jpg",
			"jpeg", "", "Lac " + w(i), of(i, 100, "c"), "", "", "", tenantTerm(bank(i)) + " lac " + w(i) + " " + of(i, 300, "br")}
	})
	fill(partiesTable, n, func(i int) []any { return []any{bank(i), numbered6("p", i/2), "x"} })
	fill(partyIDsTable, n, func(i int) []any {
		return []any{bank(i), []string{"isni", "ipi"}[i/2%2], numbered6("", i/2), of(i, 3000, "p")}
	})
	fill(sharesTable, n, func(i int) []any { return []any{bank(i), int64(10000), w(i), of(i, 300, "p")} })
	fill(conceptsTable, n, func(i int) []any { return []any{bank(i), numbered6("semantic/c", i/2), "semantic", "x"} })
	fill(membershipsTable, n, func(i int) []any { return []any{bank(i), w(i), of(i, 300, "semantic/c"), "r", "w"} })
	fill(cataloguesTable, n, func(i int) []any { return []any{num(i), bank(i), numbered6("cat", i/2)} })
	fill(versionsTable, n, func(i int) []any {
		return []any{num(i / 4 * 2), int64(i%4 + 1), int64(0), int64(1), int64(0), int64(0), h(i)}
	})
	from, to := func(i int) int64 { return int64(i % 2 * 2) }, func(i int) int64 { return []int64{2, open}[i%2] }
	fill(catalogueWorksTable, n, func(i int) []any {
		return []any{num(i / 4000), from(i), to(i), numbered6("w", i/2), "", []byte("x")}
	})
	fill(catalogueConceptsTable, n, func(i int) []any {
		return []any{num(i / 4000), from(i), to(i), numbered6("semantic/c", i/2), []byte("x")}
	})
	fill(catalogueMembersTable, n, func(i int) []any {
		return []any{num(i / 4000), from(i), to(i), numbered6("w", i/2), "semantic/c", []byte("x")}
	})
	fill(codebookTable, n, func(i int) []any {
		return []any{bank(i), int64(i/2 + 1), int64(i/4 + 1), "main", []string{"c", "w"}[i/2%2], w(i)}
	})
	fill(licencesTable, n, func(i int) []any {
		return []any{num(i), bank(i), num(i % 500), int64(1), int64(0), int64(1), int64(0), int64(0), numbered6("l", i/2), "", "p", `["a"]`, `["b"]`, "cat", ""}
	})
	fill(deliveriesTable, n, func(i int) []any {
		return []any{num(i), bank(i), num(i), num(i % 500), int64(0), int64(0), numbered6("d", i/2), []string{"delivered", "running"}[i%100/98], "", "{}", "", int64(1)}
	})
	fill(stepsTable, n, func(i int) []any { return []any{num(i / 4), int64(i%4 + 1), int64(0), "running", ""} })
	fill(itemsTable, n, func(i int) []any {
		return []any{bank(i), num(i % 4), int64(1), 42.0, 0.99, h(i), numbered6("w", i/4), of(i, 50, "shard-"), "", []string{"", "", "", "", "", "", "x"}[i/4%7], ""}
	})
	fill(refusalsTable, n, func(i int) []any { return []any{num(i), bank(i), int64(0), h(i), []byte("x"), of(i, 20, "k"), ""} })
	fill(reservationsTable, n, func(i int) []any {
		return []any{num(i), bank(i), int64(0), h(i), h(i), []byte("x"), w(i), "", "tdmrep", "", "", "", ""}
	})
	fill(todosTable, n, func(i int) []any { return []any{bank(i), int64(0), w(i), []string{"creator", "date"}[i/2%2], ""} })
	fill(objectsTable, n, func(i int) []any {
		return []any{bank(i), int64(9), int64(0), number(i%50 == 0), int64(0), h(i), "p/" + w(i) + ".jpg", "", w(i), "", ""}
	})
	fill(removalsTable, n, func(i int) []any {
		return []any{num(i), bank(i), num(i % 4), int64(0), h(i), numbered6("w", i/4), "", ""}
	})
	fill(documentsTable, n, func(i int) []any {
		return []any{bank(i), int64(i / 2 % 2), int64(0), "story", numbered6("cat", i/4) + "@1", h(i), []byte("x")}
	})
	fill(descriptorsTable, n, func(i int) []any { return []any{bank(i), w(i), []byte("x")} })
	fill(markingsTable, n, func(i int) []any {
		return []any{num(i), bank(i), int64(0), int64(1), int64(1), int64(1024), h(i), "b", "c", "l", "p", ""}
	})
	fillJobs(fill, bank, num, n)
	analyse(t, r)
}

// fillJobs fills the tables of jobs.
func fillJobs(fill func(tab *table, rows int, row func(i int) []any), bank, num func(i int) int64, n int) {
	fill(jobsTable, n, func(i int) []any {
		return []any{num(i), bank(i), int64(0), int64(0), int64(0), int64(0), int64(2), int64(1), int64(9), int64(0), int64(9), int64(0), int64(0), int64(0), int64(0), int64(0),
			numbered6("j", i/2), "delivery", "", []string{"finished", "running"}[i%100/98], "mark", "", "{}", ""}
	})
	fill(jobPartsTable, n, func(i int) []any {
		return []any{num(i / 4000), int64(i % 4000), int64(0), int64(0), int64(0), int64(0), int64(0), "mark", []string{"done", "running"}[i%200/198], numbered6("worker", i%500), "", "{}", ""}
	})
	workersTable := &table{name: "workers", cols: columns("id t, host t, realm t, process t, state t, pid i, started i, beat i")}
	fill(workersTable, n, func(i int) []any {
		return []any{numbered6("worker", i), "h", "", "", []string{"dead", "alive"}[i%100/98], int64(1), int64(0), int64(0)}
	})
}

// arguments gives what a statement is explained with: its sample, the first key, and for lists of keys the last one again.
func (s *statement) arguments() []any {
	args := slices.Clone(s.sample)
	most := 0
	for _, m := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(s.text, -1) {
		var n int
		fmt.Sscan(m[1], &n)
		most = max(most, n)
	}
	args = append(args, s.start()...)
	for len(args) < most {
		args = append(args, args[len(args)-1])
	}
	return args
}

func (s *statement) explained() string {
	if s.keys == "" {
		return s.text
	}
	return s.limited(usualPerPage)
}

// TestNoPageScansATable has SQLite and PostgreSQL explain every query that makes a page or looks something up.
func TestNoPageScansATable(t *testing.T) {
	if len(statements) < 50 {
		t.Fatalf("only %d statements", len(statements))
	}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			r := fresh(t, d.place(t))
			n := 4_000
			if r.pool != nil {
				n = 60_000 // PostgreSQL rightly reads a small table whole
			}
			wide(t, r, n)
			names := map[string]bool{}
			for _, s := range statements {
				if names[s.name] {
					t.Errorf("two statements are called %s", s.name)
				}
				names[s.name] = true
				if strings.Contains(s.name, "(SQLite)") && d.name != "sqlite" || strings.Contains(s.name, "(PostgreSQL)") && d.name != "postgres" {
					continue
				}
				plan := plan(t, r, s)
				if d.name == "sqlite" && len(s.keys) == 2 && tied[s.name] == "" && !pair.MatchString(plan) {
					t.Errorf("%s reads again what earlier pages had:\n%s", s.name, plan)
				}
				for line := range strings.SplitSeq(plan, "\n") {
					if wrong := verdict(d.name, line); wrong != "" && !(wrong == "sorts" && sorting[s.name] != "") {
						t.Errorf("%s %s:\n%.2000s\n%.300s", s.name, wrong, plan, s.explained())
						break
					}
				}
			}
		})
	}
}

var scansSQLite = regexp.MustCompile(`\bSCAN \w+`)

// verdict says what is wrong with a line of a plan, "" if nothing. A scan along an index that holds all that is asked for
// (SQLite's SCAN ... USING INDEX) reads all of it just the same.
func verdict(database, line string) string {
	if database == "sqlite" {
		switch {
		case scansSQLite.MatchString(line) && !strings.Contains(line, "VIRTUAL TABLE INDEX") && !strings.Contains(line, "CONSTANT ROW"):
			return "scans"
		case strings.Contains(line, "TEMP B-TREE"):
			return "sorts"
		}
		return ""
	}
	switch {
	case strings.Contains(line, "Seq Scan"):
		return "scans"
	case sortsMany(line):
		return "sorts"
	case fullIndexScan.MatchString(line):
		return "scans an index"
	}
	return ""
}

var sortNode = regexp.MustCompile(`-> +Sort .* rows=(\d+) `)

// sortsMany tells whether a line is a sort of more rows than a page may have, by what PostgreSQL expects. Few rows it may
// well collect and sort; an incremental sort is one of rows that are in order but for ties.
func sortsMany(line string) bool {
	m := sortNode.FindStringSubmatch(line)
	var n int
	if m != nil {
		fmt.Sscan(m[1], &n)
	}
	return n > MostPerPage
}

var fullIndexScan = regexp.MustCompile(`Index (Only )?Scan.*\[no condition\]`)

// plan gives the plan for the sample. PostgreSQL makes one for every call's own arguments: see openPool.
func plan(t *testing.T, r *Registry, s *statement) string {
	t.Helper()
	if r.pool == nil {
		var plan []string
		must(t, each(ctx, r.statements, "EXPLAIN QUERY PLAN "+s.explained(), s.arguments(), func(r rows) error {
			var id, parent, x int64
			var detail string
			err := r.Scan(&id, &parent, &x, &detail)
			plan = append(plan, detail)
			return err
		}))
		return strings.Join(plan, "\n")
	}
	answer, err := r.pool.Query(ctx, "EXPLAIN "+s.explained(), s.arguments()...)
	must(t, err)
	lines, err := pgx.CollectRows(answer, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	return conditioned(lines)
}

// conditioned marks index scans that have no Index Cond: they walk the whole index.
func conditioned(lines []string) string {
	for i, line := range lines {
		if strings.Contains(line, "Index") && strings.Contains(line, "Scan") && (i+1 == len(lines) || !slices.ContainsFunc(lines[i+1:min(len(lines), i+3)], func(l string) bool { return strings.Contains(l, "Index Cond") })) {
			lines[i] += " [no condition]"
		}
	}
	return strings.Join(lines, "\n")
}

// TestVerdict: the test above fails where it should.
func TestVerdict(t *testing.T) {
	bad := map[string]*statement{
		"scans":          {name: "no index", text: "SELECT n FROM works WHERE title = $1", sample: []any{"x"}},
		"scans an index": {name: "no condition", text: "SELECT n FROM works WHERE title = $1 ORDER BY n LIMIT 5", sample: []any{"x"}},
		"sorts":          {name: "no order", text: "SELECT n FROM works WHERE tenant = $1 AND state = 0 ORDER BY title LIMIT 101", sample: []any{int64(1)}},
	}
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			r := fresh(t, d.place(t))
			wide(t, r, 8_000)
			for want, s := range bad {
				if d.name == "sqlite" && want == "scans an index" {
					want = "scans"
				}
				var got []string
				plan := plan(t, r, s)
				if d.name == "sqlite" && len(s.keys) == 2 && tied[s.name] == "" && !pair.MatchString(plan) {
					t.Errorf("%s reads again what earlier pages had:\n%s", s.name, plan)
				}
				for line := range strings.SplitSeq(plan, "\n") {
					got = append(got, verdict(d.name, line))
				}
				if !slices.Contains(got, want) && !(want == "scans an index" && slices.Contains(got, "scans")) {
					t.Errorf("%s: %q, want one that %s:\n%s", s.name, got, want, plan)
				}
			}
		})
	}
}
