// Package filigrane_test holds the import law: which package may know which, and what pure means.
package filigrane_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/filigrane/filigrane"

// law says, for every package, which packages of the house its code (tests aside) may import. A package
// without a line fails. pure ones may neither do I/O nor ask for the time or for random numbers.
var law = map[string]struct {
	pure bool
	may  []string
}{
	"internal/signal":            {pure: true},
	"mark":                       {pure: true, may: []string{"internal/signal"}},
	"concepts":                   {pure: true, may: []string{"internal/signal", "mark"}},
	"embed":                      {pure: true, may: []string{"internal/signal", "mark"}},
	"detect":                     {pure: true, may: []string{"internal/signal", "mark"}},
	"iscc":                       {pure: true},
	"royalty":                    {pure: true, may: []string{"concepts"}},
	"internal/raster":            {},
	"internal/attack":            {},
	"internal/oracle":            {},                                 // tests only: see testOnly
	"internal/testphotos":        {may: []string{"internal/raster"}}, // tests only
	"internal/generated":         {may: []string{"mark", "internal/raster"}},
	"internal/store":             {},
	"internal/store/dir":         {may: []string{"internal/store"}},
	"internal/store/storetest":   {may: []string{"internal/store"}},
	"internal/store/s3":          {may: []string{"internal/store"}},
	"internal/store/s3test":      {may: []string{"internal/store/s3"}}, // tests only
	"internal/store/faults":      {},                                   // tests only
	"internal/registry":          {may: []string{"concepts", "mark"}},
	"internal/registry/pgtest":   {}, // tests only
	"internal/jobs":              {may: []string{"concepts", "mark", "delivery", "internal/registry", "internal/store"}},
	"party":                      {pure: true},
	"internal/ingest/xmp":        {pure: true},
	"internal/ingest/optout":     {pure: true, may: []string{"internal/ingest/xmp"}},
	"internal/ingest/table":      {may: []string{"concepts"}},
	"internal/ingest":            {may: []string{"concepts", "iscc", "party", "internal/raster", "internal/ingest/xmp", "internal/ingest/optout", "internal/ingest/table"}},
	"internal/intake":            {may: []string{"concepts", "iscc", "party", "internal/raster", "internal/ingest", "internal/ingest/optout", "internal/ingest/table", "internal/registry", "internal/store"}},
	"internal/store/limited":     {may: []string{"internal/store"}},
	"internal/workspace":         {may: []string{"concepts", "mark", "internal/raster"}},
	"internal/report":            {},
	"internal/demo":              {may: []string{"concepts", "mark", "embed", "detect", "royalty", "internal/signal", "internal/attack", "internal/generated", "internal/report"}},
	"internal/bench/adversary":   {may: []string{"mark", "embed", "detect", "internal/signal", "iscc"}},
	"internal/bench/robustness":  {may: []string{"mark", "embed", "detect", "internal/signal", "internal/attack"}},
	"internal/bench/calibration": {may: []string{"mark", "embed", "detect", "internal/signal", "internal/attack"}},
	"delivery":                   {may: []string{"iscc", "concepts", "mark", "embed", "detect", "internal/signal", "internal/raster", "internal/store"}},
	"delivery/papers":            {may: []string{"concepts", "mark", "delivery", "internal/store"}},
	"proof/stamp":                {}, // no I/O, no clock: not pure for time.Time and crypto/x509 alone
	"proof/stamp/authority":      {may: []string{"proof/stamp"}},
	"proof/stamp/tsatest":        {}, // tests only
	"proof/tlogproof":            {pure: true},
	"proof/log":                  {may: []string{"internal/store", "proof/tlogproof"}},
	"proof/log/witness":          {may: []string{"internal/store", "proof/tlogproof", "proof/log"}},
	"lab":                        {may: []string{"mark", "detect", "delivery", "internal/signal", "internal/raster", "internal/generated", "internal/store/dir"}},
	"cmd/filigrane": {may: []string{"iscc", "concepts", "mark", "embed", "detect", "royalty", "delivery", "delivery/papers", "internal/signal", "internal/raster",
		"internal/store", "internal/store/dir", "internal/store/s3", "internal/store/limited", "internal/ingest", "internal/ingest/optout", "internal/ingest/table", "internal/intake",
		"internal/registry", "internal/jobs", "internal/workspace", "internal/generated", "internal/report", "internal/demo", "internal/bench/adversary", "internal/bench/robustness", "internal/bench/calibration"}},
}

// testOnly packages are imported by tests and by nothing else.
var testOnly = []string{"internal/oracle", "internal/testphotos", "internal/store/storetest", "internal/store/s3test", "internal/store/faults", "internal/registry/pgtest", "proof/stamp/tsatest"}

// impure are the packages a pure one may not import, with everything below them.
var impure = []string{"os", "net", "log", "database/sql", "math/rand", "io/fs", "io/ioutil", "syscall", "path/filepath", "time"}

type pkg struct {
	ImportPath, Dir  string
	GoFiles, Imports []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			ps = append(ps, p)
		}
	}
	if len(ps) == 0 {
		t.Fatal("no packages found")
	}
	return ps
}

func TestImportLaw(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		rule, ok := law[name]
		if !ok {
			t.Errorf("%s has no line in the import law: say in arch_test.go what it may know", name)
			continue
		}
		for _, path := range p.Imports {
			local, ours := strings.CutPrefix(path, module+"/")
			switch {
			case ours && slices.Contains(testOnly, local) && !slices.Contains(testOnly, name):
				t.Errorf("%s imports %s, which is for tests", name, local)
			case ours && !slices.Contains(rule.may, local) && !slices.Contains(testOnly, name):
				t.Errorf("%s imports %s, which the law does not allow", name, local)
			case rule.pure && isImpure(path):
				t.Errorf("%s is pure and imports %s: make it an argument", name, path)
			}
		}
	}
}

func isImpure(path string) bool {
	return slices.ContainsFunc(impure, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

// TestFunctionsFitOnAScreen: seventy lines is what a reader holds at once.
func TestFunctionsFitOnAScreen(t *testing.T) {
	const most = 70
	for _, p := range packages(t) {
		for _, file := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > most {
					t.Errorf("%s: %s has %d lines, over %d", fset.Position(fn.Pos()), fn.Name.Name, n, most)
				}
			}
		}
	}
}
