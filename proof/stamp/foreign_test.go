package stamp_test

import (
	"encoding/asn1"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/filigrane/filigrane/proof/stamp"
)

// TestTokensOfRealAuthorities reads the responses of real authorities, from 2016 on, that the tests of a library come
// with. The issuer in each token stands for a root.
func TestTokensOfRealAuthorities(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/digitorus/timestamp").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(out)), "timestamp_test.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			v, ok := s.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				continue
			}
			if der := bytesOf(v.Values[0]); len(der) > 500 {
				seen++
				t.Run(v.Names[0].Name, func(t *testing.T) { checkReal(t, der) })
			}
		}
	}
	if seen == 0 {
		t.Error("the library has no responses any more")
	}
}

func bytesOf(e ast.Expr) (b []byte) {
	list, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, x := range list.Elts {
		l, ok := x.(*ast.BasicLit)
		if !ok {
			return nil
		}
		n, err := strconv.ParseUint(l.Value, 0, 8)
		if err != nil {
			return nil
		}
		b = append(b, byte(n))
	}
	return b
}

// checkReal verifies a response, or a token, with the certificates in it. A signer's own certificate is its root where
// the issuer's is limited to other things than time stamps, as that of one authority is.
func checkReal(t *testing.T, der []byte) {
	var response struct{ Status, Token asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &response); err != nil {
		t.Fatal(err)
	}
	whole := der
	if response.Status.Tag == asn1.TagSequence { // a token has its type there
		whole = response.Token.FullBytes
	}
	other, err := timestamp.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	p := stamp.Policy{Now: time.Now(), Roots: other.Certificates}
	var imprint [32]byte
	copy(imprint[:], other.HashedMessage)
	s, err := stamp.Verify(whole, imprint, p)
	if len(other.Certificates) == 0 {
		want(t, err, stamp.KindCertificate)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !s.Time.Equal(other.Time) || s.Accuracy != other.Accuracy || s.Serial.Cmp(other.SerialNumber) != 0 || s.Policy != other.Policy.String() {
		t.Errorf("read as %+v, by the library as %+v", s, other)
	}
	t.Logf("by %s on %s", s.Authority, s.Time)
	// The issuer is known from the policy, so that its copy in the token is not needed: with another name for who
	// issued it, it passes as a cross certificate. What is reported is the same to the letter.
	accepted := 0
	for i := range whole {
		whole[i] ^= 1
		if changed, err := stamp.Verify(whole, imprint, p); err == nil {
			accepted++
			changed.Token = s.Token
			if got, was := fmt.Sprint(changed), fmt.Sprint(s); got != was {
				t.Errorf("byte %d of %d changed, and it says %s, not %s", i, len(whole), got, was)
			}
		}
		whole[i] ^= 1
	}
	if accepted > 100 { // the name of who issued the issuer has some 60 bytes
		t.Errorf("with one byte of %d changed it is a time stamp still, at %d places", len(whole), accepted)
	}
}
