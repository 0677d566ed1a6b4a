package authority_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/filigrane/filigrane/proof/stamp/authority"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

// TestReadAndAsk: a folder as a user makes it, and a token by the authority in it.
func TestReadAndAsk(t *testing.T) {
	a := tsatest.Start(t)
	pin := sha256.Sum256(a.Certificate("tsa").Raw)
	list := fmt.Sprintf(`[{"name": "Example QTSA", "url": %q, "roots": ["root.pem"], "certificates": ["ca.pem"],
		"policies": [%q], "pins": ["sha256:%x"]}]`, a.URL, tsatest.Policy, pin)
	if err := os.WriteFile(filepath.Join(a.Folder, authority.ListName), []byte(list), 0o666); err != nil {
		t.Fatal(err)
	}
	all, err := authority.Read(os.DirFS(a.Folder))
	if err != nil {
		t.Fatal(err)
	}
	token, err := client(nil).Stamp(t.Context(), imprint, all)
	if err != nil || token.Authority != "Example QTSA" {
		t.Errorf("by %q: %v", token.Authority, err)
	}
	if s := fmt.Sprint(token.Stamp.Chain[0]); s != fmt.Sprintf("%x", pin) {
		t.Errorf("chain %s", s)
	}
}

func TestListsThatAreWrong(t *testing.T) {
	a := tsatest.Start(t)
	const good = `"name": "A", "url": "http://tsa.example", "roots": ["root.pem"]`
	for _, c := range []struct{ name, list, says string }{
		{"right", `[{` + good + `}]`, ""},
		{"empty", ``, "EOF"},
		{"no authority", `[]`, "no authority"},
		{"two lists", `[{` + good + `}] []`, "text after"},
		{"an unknown field", `[{` + good + `, "root": "x"}]`, `"root"`},
		{"no name", `[{"url": "http://tsa.example", "roots": ["root.pem"]}]`, "no name"},
		{"one name twice", `[{` + good + `}, {` + good + `}]`, "two authorities named A"},
		{"no roots", `[{"name": "A", "url": "http://tsa.example"}]`, "no roots"},
		{"no url", `[{"name": "A", "roots": ["root.pem"]}]`, "not http"},
		{"ftp", `[{"name": "A", "url": "ftp://user:secret@tsa.example", "roots": ["root.pem"]}]`, "not http"},
		{"no url at all", `[{"name": "A", "url": "http://user:secret@[", "roots": ["root.pem"]}]`, "cannot be read"},
		{"a file that is not there", `[{"name": "A", "url": "http://tsa.example", "roots": ["other.pem"]}]`, "other.pem"},
		{"a file that is elsewhere", `[{"name": "A", "url": "http://tsa.example", "roots": ["../root.pem"]}]`, "no file of the folder"},
		{"a file that is no PEM", `[{"name": "A", "url": "http://tsa.example", "roots": ["authorities.json"]}]`, "no certificate in PEM"},
		{"a private key", `[{` + good + `, "certificates": ["root.key"]}]`, "PRIVATE KEY"},
		{"policy", `[{` + good + `, "policies": ["qualified"]}]`, "no object identifier"},
		{"pin", `[{` + good + `, "pins": ["sha256:12"]}]`, "64 hexadecimal digits"},
		{"pin by SHA-1", `[{` + good + `, "pins": ["sha1:` + strings.Repeat("00", 32) + `"]}]`, "64 hexadecimal digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := fstest.MapFS{"root.pem": {Data: a.Roots}, authority.ListName: {Data: []byte(c.list)}}
			key, err := os.ReadFile(filepath.Join(a.Folder, "root.key"))
			if err != nil {
				t.Fatal(err)
			}
			folder["root.key"] = &fstest.MapFile{Data: key}
			_, err = authority.Read(folder)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %v; want %q", err, c.says)
			}
		})
	}
	if _, err := authority.Read(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "authorities.json") {
		t.Errorf("got %v", err)
	}
}
