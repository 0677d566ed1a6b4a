package stamp_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/filigrane/filigrane/proof/stamp"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

const day = 24 * time.Hour

// TestRevocationLists: a token of time at, and what lists say of its signer.
func TestRevocationLists(t *testing.T) {
	after, before := at.Add(90*day), at.Add(-2*day)
	for _, c := range []struct {
		name    string
		revoked time.Time // zero: not
		reason  string
		list    time.Time
		valid   time.Duration
		until   time.Time // the end of the signer's certificate
		want    stamp.Kind
	}{
		{"good, by a list issued later", time.Time{}, "", after, 7 * day, time.Time{}, ""},
		{"good, by the list in force then", time.Time{}, "", before, 7 * day, time.Time{}, ""},
		{"the list was out of date by then", time.Time{}, "", before, day, time.Time{}, stamp.KindStatus},
		{"the list came when the certificate had expired", time.Time{}, "", after, 7 * day, at.Add(30 * day), stamp.KindStatus},
		{"the list is of tomorrow", time.Time{}, "", time.Now().Add(day), 7 * day, time.Time{}, stamp.KindFuture},
		{"revoked before", at.Add(-day), "superseded", after, 7 * day, time.Time{}, stamp.KindRevoked},
		{"revoked the moment before", at.Truncate(time.Second), "cessationOfOperation", after, 7 * day, time.Time{}, stamp.KindRevoked},
		{"stolen before", at.Add(-day), "keyCompromise", after, 7 * day, time.Time{}, stamp.KindRevoked},
		{"revoked before, by an old list", at.Add(-3 * day), "superseded", before, day, time.Time{}, stamp.KindRevoked},
		{"replaced later", at.Add(day), "superseded", after, 7 * day, time.Time{}, ""},
		{"given up later", at.Add(day), "cessationOfOperation", after, 7 * day, time.Time{}, ""},
		{"revoked later, unspecified", at.Add(day), "unspecified", after, 7 * day, time.Time{}, ""},
		{"stolen later", at.Add(day), "keyCompromise", after, 7 * day, time.Time{}, stamp.KindCompromised},
		{"issuer's key stolen later", at.Add(day), "CACompromise", after, 7 * day, time.Time{}, stamp.KindCompromised},
		{"on hold later", at.Add(day), "certificateHold", after, 7 * day, time.Time{}, stamp.KindCompromised},
		{"revoked later, and nobody said why", at.Add(day), "", after, 7 * day, time.Time{}, stamp.KindCompromised},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tsatest.Start(t)
			if !c.until.IsZero() {
				a.Certify("tsa", tsatest.Certificate{Issuer: "ca", Until: c.until})
			}
			a.SetTime(at)
			token := a.Token(imprint)
			if !c.revoked.IsZero() {
				a.Revoke("ca", "tsa", c.revoked, c.reason)
			}
			p := policyOf(t, a)
			p.Lists = [][]byte{a.List("ca", c.list, c.list.Add(c.valid))}
			s, err := stamp.Verify(token, imprint, p)
			want(t, err, c.want)
			if err != nil {
				return
			}
			if len(s.Statuses) != 1 {
				t.Fatalf("statuses %+v", s.Statuses)
			}
			got := s.Statuses[0]
			if got.Certificate != s.Chain[0] || got.Source != "crl" || !got.Updated.Equal(c.list.Truncate(time.Second)) || !got.Revoked.Equal(c.revoked.Truncate(time.Second)) || got.Reason != c.reason {
				t.Errorf("status %+v", got)
			}
		})
	}
}

// TestRevocationListsOfOthers: lists that are not about the chain, or not by who they say.
func TestRevocationListsOfOthers(t *testing.T) {
	a, double, other := tsatest.Start(t), tsatest.Start(t), tsatest.StartWith(t, tsatest.Config{Name: "Other"})
	a.SetTime(at)
	token := a.Token(imprint)
	after := at.Add(day)
	verify := func(name string, kind stamp.Kind, need bool, lists ...[]byte) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			p := policyOf(t, a)
			p.Lists, p.NeedStatus = lists, need
			_, err := stamp.Verify(token, imprint, p)
			want(t, err, kind)
		})
	}
	own, roots := a.List("ca", after, after.Add(7*day)), a.List("root", after, after.Add(7*day))
	verify("none, none needed", "", false)
	verify("none", stamp.KindStatus, true)
	verify("the signer's only", stamp.KindStatus, true, own)
	verify("the issuer's only", stamp.KindStatus, true, roots)
	verify("both", "", true, own, roots)
	verify("another issuer's", stamp.KindStray, false, other.List("ca", after, after.Add(day)))
	verify("another issuer's of the same name", stamp.KindStatus, false, double.List("ca", after, after.Add(day)))
	verify("signed with SHA-1", stamp.KindStatus, false, a.List("ca", after, after.Add(day), "-md", "sha1"))
	verify("no list", stamp.KindStatus, false, []byte("hello"))
	verify("bytes after it", stamp.KindStatus, false, append(bytes.Clone(own), 0))
	verify("a wrong list beside a right one", stamp.KindStray, false, own, other.List("ca", after, after.Add(day)))

	t.Run("inside the token", func(t *testing.T) {
		p := take(token)
		p.data.parts = append(p.data.parts[:4:4], &element{tag: 0xa1, parts: parse(own)}, p.data.parts[4])
		policy := policyOf(t, a)
		s, err := stamp.Verify(p.token.der(), imprint, policy)
		if err != nil || len(s.Statuses) != 1 {
			t.Errorf("%v, statuses %+v", err, s.Statuses)
		}
		p.data.parts[4].parts = parse(other.List("ca", after, after.Add(day)))
		_, err = stamp.Verify(p.token.der(), imprint, policy)
		want(t, err, stamp.KindStray)
	})
	t.Run("no byte of it can be changed", func(t *testing.T) {
		p := policyOf(t, a)
		for i := range own {
			changed := bytes.Clone(own)
			changed[i] ^= 1
			p.Lists = [][]byte{changed}
			if _, err := stamp.Verify(token, imprint, p); err == nil {
				t.Errorf("byte %d of %d changed, and the list is believed", i, len(own))
			}
		}
	})
	a.Revoke("root", "ca", at.Add(-day), "CACompromise")
	verify("the issuer revoked", stamp.KindRevoked, false, own, a.List("root", after, after.Add(day)))
}

// TestListsForSomeCertificates: lists with a distribution point may leave certificates out.
func TestListsForSomeCertificates(t *testing.T) {
	a := tsatest.Start(t)
	const mine = "crlDistributionPoints = URI:http://crl.example/1"
	a.Certify("tsa", tsatest.Certificate{Issuer: "ca", Extensions: tsatest.SignerExtensions + "\n" + mine})
	a.SetTime(at)
	token := a.Token(imprint)
	for _, c := range []struct {
		name, point string
		want        stamp.Kind
	}{
		{"its own part", "fullname = URI:http://crl.example/1", ""},
		{"another part", "fullname = URI:http://crl.example/2", stamp.KindStray},
		{"for users", "onlyuser = true", ""},
		{"for issuers", "onlyCA = true", stamp.KindStray},
		{"for attributes", "onlyAA = true", stamp.KindStatus},
		{"indirect", "indirectCRL = true", stamp.KindStatus},
		{"for some reasons", "onlysomereasons = keyCompromise", stamp.KindStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := policyOf(t, a)
			p.Lists = [][]byte{a.ListWith("ca", at.Add(day), at.Add(2*day), "issuingDistributionPoint = critical, @point\n[point]\n"+c.point)}
			_, err := stamp.Verify(token, imprint, p)
			want(t, err, c.want)
		})
	}
	t.Run("what changed since the last list", func(t *testing.T) {
		p := policyOf(t, a)
		p.Lists = [][]byte{a.ListWith("ca", at.Add(day), at.Add(2*day), "2.5.29.27 = critical, ASN1:INTEGER:1")}
		_, err := stamp.Verify(token, imprint, p)
		want(t, err, stamp.KindStatus)
	})
}

// TestOCSP: responses of now about the signer of a token of time at.
func TestOCSP(t *testing.T) {
	const responder = "extendedKeyUsage = OCSPSigning\nkeyUsage = digitalSignature"
	for _, c := range []struct {
		name      string
		revoked   time.Time
		reason    string
		responder string
		want      stamp.Kind
	}{
		{"good, by the issuer", time.Time{}, "", "ca", ""},
		{"good, by a responder of the issuer", time.Time{}, "", "responder", ""},
		{"good, by somebody else with a certificate", time.Time{}, "", "fraud", stamp.KindStatus},
		{"good, by a responder that has expired", time.Time{}, "", "expired", stamp.KindStatus},
		{"good, by a responder of 1024 bits", time.Time{}, "", "weak", stamp.KindWeak},
		{"revoked before", at.Add(-day), "superseded", "responder", stamp.KindRevoked},
		{"replaced later", at.Add(day), "superseded", "responder", ""},
		{"stolen later", at.Add(day), "keyCompromise", "ca", stamp.KindCompromised},
		{"revoked later, and nobody said why", at.Add(day), "", "ca", stamp.KindCompromised},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tsatest.Start(t)
			switch c.responder {
			case "responder":
				a.Certify("responder", tsatest.Certificate{Issuer: "ca", Extensions: responder})
			case "fraud":
				a.Certify("fraud", tsatest.Certificate{Issuer: "ca"})
			case "expired":
				a.Certify("expired", tsatest.Certificate{Issuer: "ca", Extensions: responder, Until: at})
			case "weak":
				a.Certify("weak", tsatest.Certificate{Issuer: "ca", Extensions: responder, Key: "rsa:1024"})
			}
			a.SetTime(at)
			token := a.Token(imprint)
			if !c.revoked.IsZero() {
				a.Revoke("ca", "tsa", c.revoked, c.reason)
			}
			p := policyOf(t, a)
			p.Answers = [][]byte{a.Answer("ca", "tsa", c.responder)}
			s, err := stamp.Verify(token, imprint, p)
			want(t, err, c.want)
			if err == nil && (len(s.Statuses) != 1 || s.Statuses[0].Source != "ocsp" || s.Statuses[0].Reason != c.reason) {
				t.Errorf("statuses %+v", s.Statuses)
			}
		})
	}
	a, other := tsatest.Start(t), tsatest.StartWith(t, tsatest.Config{Name: "Other"})
	a.Certify("neighbour", tsatest.Certificate{Issuer: "ca"})
	a.SetTime(at)
	token := a.Token(imprint)
	for name, c := range map[string]struct {
		answer []byte
		want   stamp.Kind
	}{
		"about another certificate": {a.Answer("ca", "neighbour", "ca"), stamp.KindStray},
		"by another issuer":         {other.Answer("ca", "tsa", "ca"), stamp.KindStray},
		"no response":               {[]byte("hello"), stamp.KindStatus},
		"far too long":              {make([]byte, 20000), stamp.KindStatus},
		"an error":                  {[]byte{0x30, 3, 0x0a, 1, 6}, stamp.KindStatus},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, a)
			p.Answers = [][]byte{c.answer}
			_, err := stamp.Verify(token, imprint, p)
			want(t, err, c.want)
		})
	}
}
