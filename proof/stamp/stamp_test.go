package stamp_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/filigrane/filigrane/proof/stamp"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

var imprint = sha256.Sum256([]byte("the root of a tree of commitments"))

func policyOf(t *testing.T, a *tsatest.Authority) stamp.Policy {
	t.Helper()
	roots, err := stamp.Certificates(a.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return stamp.Policy{Roots: roots, Now: time.Now()}
}

func TestFirst(t *testing.T) {
	a := tsatest.Start(t)
	token := a.Token(imprint)
	s, err := stamp.Verify(token, imprint, policyOf(t, a))
	t.Logf("%d %+v %v", len(token), s, err)
	if err := a.Accepts(token, imprint, time.Now()); err != nil {
		t.Error(err)
	}
	a.SetTime(time.Date(2021, 2, 3, 4, 5, 6, 7e6, time.UTC))
	token = a.Token(imprint)
	s, err = stamp.Verify(token, imprint, policyOf(t, a))
	t.Logf("%d %+v %v", len(token), s, err)
	if err := a.Accepts(token, imprint, s.Time); err != nil {
		t.Error(err)
	}
}
